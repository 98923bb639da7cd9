"""A node process on topics of a real broker whose settings are not what it wants."""

from __future__ import annotations

import asyncio
import io
import json
import re
import urllib.request

import pytest
from tests.federation.nodes import NodeProcess, wait_until

from tocsin.app import App
from tocsin.config import load
from tocsin.desk import desk, make_signer
from tocsin.errors import ConfigError
from tocsin.kafka.admin import Admin
from tocsin.kafka.plan import Change, Plan, WantedTopic
from tocsin.logs import Log

pytestmark = pytest.mark.kafka

TOPIC = "tocsin.ke.out.public"
STRANGE = {"compression.type": "gzip", "message.timestamp.type": "CreateTime"}
# And what the topic has of the broker: its retention. The smallest limit is enough to start, and not what is wanted.
DRIFT = {"max.message.bytes", "retention.ms", *STRANGE}


def test_a_topic_too_small_for_a_report_stops_the_start_and_other_settings_are_told(kafka, plain, tmp_path):
    """Made beforehand by somebody else: refused with the remedy, then started and shown, then in order by that remedy."""
    ke = NodeProcess(tmp_path / "ke", "ke", {"ke": kafka.bootstrap})
    too_small = WantedTopic(TOPIC, {"max.message.bytes": "100000", **STRANGE})
    asyncio.run(Admin(plain).apply(Plan(create=(too_small,))))
    ke.start()
    assert ke.process.wait(60) == 1
    for words in ("100000 bytes", f"at {TOPIC}", "do tocsin topics apply"):
        assert words in ke.log()
    enough = Change(TOPIC, "max.message.bytes", "100000", "300000")
    asyncio.run(Admin(plain).apply(Plan(change=(enough,))))
    try:
        ke.start()
        wait_until(ke.ready, "a node on topics of strange settings")
        assert ke.metrics()["tocsin_topic_drift"] == len(DRIFT)
        assert ke.metrics()["tocsin_topic_problems"] == 1, "a plain broker has no authorizer"
        lines = [json.loads(line) for line in ke.log().splitlines() if line.startswith("{")]
        told = [line["error"] for line in lines if line["event"] == "topic-drift"]
        assert f"set compression.type of {TOPIC}: gzip -> uncompressed" in told
        assert len(told) == 2 * len(DRIFT), "once at each start"
        ke.stop()
        ke.command("topics", "apply")
        ke.start()
        wait_until(ke.ready, "a node on topics that were set right")
        assert ke.metrics()["tocsin_topic_drift"] == 0
    finally:
        ke.kill()


async def test_a_limit_that_is_lowered_under_a_running_node_is_shown_and_ends_nothing(kafka, plain, tmp_path):
    """What is sealed by then must go out as far as it can; only a start may be refused."""
    jp = NodeProcess(tmp_path / "jp", "jp", {"jp": kafka.bootstrap})
    async with desk(load(jp.folder / "tocsin.toml")) as opened:
        node = App(opened, make_signer(opened.config), Log(io.StringIO(), strict=True))

        async def drift():
            page = (await node.metrics.page()).decode()
            return re.search(r"^tocsin_topic_drift (\S+)$", page, re.MULTILINE)[1]

        await node._prepare_topics()
        assert await drift() == "0.0"
        lowered = Change("tocsin.jp.out.public", "max.message.bytes", "1048576", "100000")
        await Admin(plain).apply(Plan(change=(lowered,)))
        await node._compare()
        assert await drift() == "1.0"
        with pytest.raises(ConfigError, match="100000"):
            await node._prepare_topics()


def introduction(node):
    """What the node says of itself; empty until it has spoken."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{node.port}/.well-known/tocsin", timeout=5) as answer:
            return answer.read().decode().replace(" ", "")
    except OSError:
        return ""


async def test_a_policy_that_was_published_is_not_replaced_under_its_version_by_a_restart(kafka, plain, tmp_path):
    gb = NodeProcess(tmp_path / "gb", "gb", {"gb": kafka.bootstrap})
    gb.start()
    try:
        wait_until(lambda: '"policies":[{' in introduction(gb), "its policy is published")
    finally:
        gb.stop()
    policy = tmp_path / "gb" / "policy.toml"
    policy.write_text(policy.read_text() + "# another text\n")
    gb.start()
    try:
        assert gb.process.wait(60) == 1
    finally:
        gb.kill()
    assert "the text changed under the same version" in gb.log()
