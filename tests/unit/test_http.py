"""The pages over real sockets: what they say, and what nobody can make them do."""

import asyncio
import contextlib
import json
import signal
import socket

import httpx
import pytest

from tocsin.errors import AdapterError
from tocsin.http.pages import Facts, Introduction, PublishedPolicy, Readiness, pages
from tocsin.http.serve import HttpServer
from tocsin.metrics import Metrics
from tocsin.wire.keys import Key, KeyUse

KEY = Key(KeyUse.RELAY, 1, bytes(range(32)), 1, 2)
POLICY = PublishedPolicy("gb", 3, "incident/1.0", bytes(32), b"\xc3\x01policy")
INTRODUCTION = Introduction("gb", "GB", 1, (KEY,), b"\xc3\x01descriptor", (POLICY,))


class World:
    """What the pages are told; a test changes it."""

    def __init__(self):
        self.readiness = Readiness("RECOVERING", ("jp is not recovered", "the store cannot be reached"))
        self.introduction = None
        self.metrics = Metrics(clock=lambda: 0, sources={"jp": 30}, audiences=["jp"], version="1").page

    def facts(self):
        # Looked up at each request, since a test changes them.
        return Facts(lambda: self.metrics(), lambda: self.readiness, lambda: self.introduction)  # noqa: PLW0108


@pytest.fixture
def world():
    return World()


@contextlib.asynccontextmanager
async def serving(world):
    server = HttpServer(pages(world.facts()), "127.0.0.1", 0)
    await server.start()
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", trust_env=False) as client:
            yield client, server
    finally:
        await server.stop()


async def test_health_is_life_and_nothing_else(world):
    async with serving(world) as (client, _):
        answer = await client.get("/healthz")
    assert (answer.status_code, answer.text) == (200, "alive\n")


async def test_readiness_names_every_reason_and_is_200_only_without_any(world):
    async with serving(world) as (client, _):
        answer = await client.get("/readyz")
        assert answer.status_code == 503
        assert answer.json() == {
            "ready": False, "state": "RECOVERING",
            "reasons": ["jp is not recovered", "the store cannot be reached"],
        }  # fmt: skip
        world.readiness = Readiness("READY")
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()["ready"]) == (200, True)


async def test_metrics_are_prometheus_text(world):
    async with serving(world) as (client, _):
        answer = await client.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "\ntocsin_build_info{" in answer.text


async def test_the_introduction_leads_to_the_signed_bytes(world):
    async with serving(world) as (client, _):
        assert (await client.get("/.well-known/tocsin")).status_code == 503
        assert (await client.get("/.well-known/tocsin/policies/gb/3")).status_code == 503
        world.introduction = INTRODUCTION
        said = (await client.get("/.well-known/tocsin")).json()
        assert (said["node"], said["jurisdiction"], said["protocol"]) == ("gb", "GB", 1)
        assert said["keys"][0]["key_id"] == KEY.key_id.hex()
        assert (await client.get(said["descriptor"])).content == INTRODUCTION.descriptor
        assert (await client.get(said["policies"][0]["statement"])).content == POLICY.framed
        for absent in ("gb/4", "jp/3", "gb/-3", "gb/x", "gb"):
            assert (await client.get(f"/.well-known/tocsin/policies/{absent}")).status_code == 404


async def test_every_answer_has_the_security_headers_and_none_a_banner(world):
    async def broken():
        raise RuntimeError("canary")

    async with serving(world) as (client, _):
        world_metrics, world.metrics = world.metrics, broken
        answers = [await client.get("/metrics")]
        world.metrics = world_metrics
        answers += [await client.get(path) for path in ("/healthz", "/readyz", "/metrics", "/absent", "/docs")]
        answers += [await client.post("/healthz"), await client.post("/healthz", content=b"x")]
        answers += [await client.request("TRACE", "/healthz")]
    assert [answer.status_code for answer in answers] == [500, 200, 503, 200, 404, 404, 405, 413, 405]
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert answer.headers["cache-control"] == "no-store"
        assert "server" not in answer.headers
        assert "canary" not in answer.text


async def raw(port, request):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with contextlib.suppress(ConnectionError):
        writer.write(request)
        await writer.drain()
    try:
        async with asyncio.timeout(20):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def test_a_request_of_any_size_or_form_is_refused_and_the_next_one_is_answered(world):
    async with serving(world) as (client, server):
        for request in (
            b"GET /" + b"x" * 1_000_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
            b"GET / HTTP/1.1\r\nhost: x\r\nx: " + b"x" * 1_000_000 + b"\r\n\r\n",
            b"\x16\x03\x01\x02\x00",
            b"GET /healthz HTTP/1.1\r\nhost: x\r\ncontent-length: x\r\n\r\n",
        ):
            answer = await raw(server.port, request + b"\r\n\r\n")
            assert answer == b"" or answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 431")), answer[:80]
        chunked = b"POST /healthz HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"
        assert (await raw(server.port, chunked)).startswith(b"HTTP/1.1 413")
        assert (await client.get("/healthz")).status_code == 200


async def test_a_taken_address_is_an_error_with_its_place_and_does_not_end_the_process(world):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(AdapterError, match=f"http.listen 127.0.0.1:{port}"):
            await HttpServer(pages(world.facts()), "127.0.0.1", port).start()


async def test_signals_stay_the_nodes(world):
    before = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    async with serving(world) as (client, _):
        await client.get("/healthz")
        assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == before


async def test_stop_lets_go_of_the_address_at_once_and_may_be_called_twice(world):
    async with serving(world) as (client, server):
        await client.get("/healthz")
        await server.stop()
        await server.stop()
        with pytest.raises(httpx.ConnectError):
            async with httpx.AsyncClient(trust_env=False) as other:
                await other.get(f"http://127.0.0.1:{server.port}/healthz")
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", server.port))


async def test_a_page_that_hangs_does_not_hang_the_others_or_the_stop(world):
    async def hang():
        await asyncio.Event().wait()

    world.metrics = hang
    async with serving(world) as (client, server):
        hanging = asyncio.create_task(client.get("/metrics", timeout=60))
        assert (await client.get("/healthz")).status_code == 200
        await server.stop()
        with contextlib.suppress(httpx.HTTPError):
            await hanging


async def test_json_has_nothing_but_what_was_told(world):
    world.introduction = INTRODUCTION
    async with serving(world) as (client, _):
        text = (await client.get("/.well-known/tocsin")).text
    assert set(json.loads(text)) == {"node", "jurisdiction", "protocol", "keys", "descriptor", "policies"}
