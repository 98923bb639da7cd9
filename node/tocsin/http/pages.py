"""What a node says over HTTP: metrics, health, and who it is. Nothing of any report's content.

The facts come in as callables that look at nothing outside the process, so that no page waits for Kafka or the store.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tocsin.metrics import CONTENT_TYPE
from tocsin.wire.keys import Key

ROOT = "/.well-known/tocsin"
_STATEMENT = "application/vnd.tocsin.statement.v1+avro"
_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class Readiness:
    """The node's state, and what keeps it from being ready; ready where there is no reason."""

    state: str
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PublishedPolicy:
    """A policy as it is published: `framed` is the signed statement that holds its text."""

    id: str
    version: int
    schema: str
    sha256: bytes
    framed: bytes


@dataclass(frozen=True, slots=True)
class Introduction:
    """Who this node is: what a peer's officer compares with what was read aloud. `descriptor` is the signed statement."""

    node: str
    jurisdiction: str
    protocol: int
    keys: tuple[Key, ...]
    descriptor: bytes
    policies: tuple[PublishedPolicy, ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """Where the pages get what they say. `introduction` is None until the node has signed its descriptor."""

    metrics: Callable[[], Awaitable[bytes]]
    readiness: Callable[[], Readiness]
    introduction: Callable[[], Introduction | None]


def pages(facts: Facts) -> ASGIApp:
    """The ASGI application."""
    routes = _Pages(facts)
    application = Starlette(
        routes=[
            Route("/metrics", routes.metrics),
            Route("/healthz", routes.healthz),
            Route("/readyz", routes.readyz),
            Route(ROOT, routes.introduction),
            Route(f"{ROOT}/descriptor", routes.descriptor),
            Route(f"{ROOT}/policies/{{id}}/{{version:int}}", routes.policy),
        ]
    )
    return _Guard(application)


class _Pages:
    def __init__(self, facts: Facts) -> None:
        self._facts = facts

    async def metrics(self, _: Request) -> Response:
        return Response(await self._facts.metrics(), headers={"content-type": CONTENT_TYPE})

    async def healthz(self, _: Request) -> Response:
        # That this is answered is all that it says: a dead broker must not make anybody restart a living node.
        return PlainTextResponse("alive\n")

    async def readyz(self, _: Request) -> Response:
        readiness = self._facts.readiness()
        ready = not readiness.reasons
        said = {"ready": ready, "state": readiness.state, "reasons": list(readiness.reasons)}
        return JSONResponse(said, status_code=200 if ready else 503)

    async def introduction(self, _: Request) -> Response:
        known = self._facts.introduction()
        if known is None:
            return _not_yet()
        return JSONResponse(
            {
                "node": known.node,
                "jurisdiction": known.jurisdiction,
                "protocol": known.protocol,
                "keys": [_key(key) for key in known.keys],
                "descriptor": f"{ROOT}/descriptor",
                "policies": [
                    {
                        "id": policy.id,
                        "version": policy.version,
                        "schema": policy.schema,
                        "sha256": policy.sha256.hex(),
                        "statement": f"{ROOT}/policies/{policy.id}/{policy.version}",
                    }
                    for policy in known.policies
                ],
            }
        )

    async def descriptor(self, _: Request) -> Response:
        known = self._facts.introduction()
        return _not_yet() if known is None else Response(known.descriptor, media_type=_STATEMENT)

    async def policy(self, request: Request) -> Response:
        known = self._facts.introduction()
        if known is None:
            return _not_yet()
        wanted = (request.path_params["id"], request.path_params["version"])
        for policy in known.policies:
            if (policy.id, policy.version) == wanted:
                return Response(policy.framed, media_type=_STATEMENT)
        return JSONResponse({"error": "no such policy"}, status_code=404)


class _Guard:
    """Refuses requests that bring anything, and puts the security headers on every answer, failures too."""

    def __init__(self, application: ASGIApp) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        headers = Headers(scope=scope)
        if "transfer-encoding" in headers or headers.get("content-length", "0") != "0":
            refusal = JSONResponse({"error": "nothing is taken here"}, 413, {"connection": "close"})
            await refusal(scope, receive, guarded)
            return
        await self._application(scope, receive, guarded)


def _not_yet() -> Response:
    return JSONResponse({"error": "the node has not signed its descriptor yet"}, status_code=503)


def _key(key: Key) -> dict[str, str | int | None]:
    return {
        "use": key.use.value,
        "suite": key.suite,
        "key_id": key.key_id.hex(),
        "public_hex": key.public.hex(),
        "not_before_ms": key.not_before_ms,
        "not_after_ms": key.not_after_ms,
        "revoked_at_ms": key.revoked_at_ms,
    }
