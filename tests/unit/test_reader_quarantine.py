"""What a reader's client refuses: kept with its reason, tried again when that may help, and never more than has room."""

import hashlib
import json

import pytest
from tests.crash.world import trust_document
from tests.unit.clients import OUT, envelopes, publish, read, subscribe, write_trust

from tocsin.flow import topics
from tocsin.flow.outbox import CONTENT_TYPE
from tocsin.flow.ports import Outbound
from tocsin.memory import Faults, MemoryBroker
from tocsin.reader import Condition, state
from tocsin.reader.subscriber import TOO_EARLY_MS
from tocsin.wire.reasons import NOT_YET_MS, Reason
from tocsin.wire.statement import is_statement


async def test_nothing_bad_stops_it_and_everything_refused_is_kept_with_its_reason(client, world, gb):
    leaves = await publish(world, "a", "b")
    first, second = envelopes(gb.broker)
    for_ke = next(r for r in gb.broker.records(topics.stream("gb", "ke")) if not is_statement(r.value))
    head = next(record for record in gb.broker.records(OUT) if is_statement(record.value))
    bad = {
        b"": Reason.FRAMING,
        b"\xc3\x01" + bytes(300): Reason.FRAMING,
        b"x" * 262_145: Reason.SIZE,
        first.value[:-10] + bytes([first.value[-10] ^ 1]) + first.value[-9:]: Reason.HOP_SIGNATURE_INVALID,
        for_ke.value: Reason.STREAM_SOURCE,
        head.value[:-1] + bytes([head.value[-1] ^ 1]): Reason.STATEMENT_SIGNATURE,
        first.value[:-1]: Reason.ENVELOPE_MALFORMED,
    }
    other = MemoryBroker(world.clock)
    other.create(OUT)
    for value in bad:
        other.append(Outbound(OUT, b"", value, (("tocsin-seq", b"\xff" * 16), ("tocsin-seq", b"short"))))
    other.append(Outbound(OUT, first.key, first.value, first.headers))
    for value in bad:
        other.append(Outbound(OUT, b"", value, (("content-type", CONTENT_TYPE),)))
    other.append(Outbound(OUT, second.key, second.value, second.headers))
    async with client(other) as subscriber:
        assert [seen.leaf for seen in await read(subscriber)] == leaves
        kept = await subscriber.quarantine()
        assert {one.digest: one.reason for one in kept} == {
            hashlib.sha256(value).digest(): reason for value, reason in bad.items()
        }
        assert {one.value for one in kept} == {None}  # nothing makes any of them valid, and none proves who wrote it
        counts = subscriber.health().counts
        assert counts["rejected.FRAMING"] == 4
        assert sum(n for name, n in counts.items() if name.startswith("rejected.")) == 2 * len(bad)


@pytest.mark.parametrize("kept_values", [1000, 1])
async def test_what_trust_did_not_know_yet_is_shown_when_it_does_also_where_the_bytes_were_not_kept(
    client, world, tmp_path, monkeypatch, kept_values
):
    monkeypatch.setattr(state, "KEPT_VALUES", kept_values)
    leaves = await publish(world, "a", "b", "c")
    path = subscribe(tmp_path)
    document = trust_document()
    document["parties"][0]["keys"] = document["parties"][0]["keys"][1:]  # gb's relay key alone
    path.with_name("trust.json").write_text(json.dumps(document))
    async with client() as subscriber:
        assert await read(subscriber) == []
        assert [one.reason for one in await subscriber.quarantine()] == [Reason.KEY_UNKNOWN] * 3
        write_trust(tmp_path, version=2)
        assert [seen.leaf for seen in await read(subscriber)] == leaves
        assert await subscriber.quarantine() == []
    async with client() as subscriber:
        assert await read(subscriber) == []


@pytest.mark.parametrize("kept_values", [1000, 1, 0])
async def test_a_record_from_the_future_is_shown_when_its_time_has_come_also_where_its_bytes_were_not_kept(
    client, world, monkeypatch, kept_values
):
    monkeypatch.setattr(state, "KEPT_VALUES", kept_values)
    leaves = await publish(world, "a", "b", "c")
    world.clock.ms -= 3_600_000
    async with client() as subscriber:
        assert await read(subscriber) == []
        assert await future(subscriber) == 3
        world.clock.ms += 3_660_000
        await world.settle()  # the node's sign of life: the earlier heads were not true by that clock
        assert [seen.leaf for seen in await read(subscriber)] == leaves
        assert (await future(subscriber), subscriber.health().condition) == (0, Condition.WHOLE)


async def test_the_topic_is_read_again_once_for_each_time_that_has_come_and_what_it_lost_stays_refused(
    client, world, gb, monkeypatch
):
    monkeypatch.setattr(state, "KEPT_VALUES", 0)
    await publish(world, "a")
    world.clock.ms += 3_600_000
    leaves = await publish(world, "b", "c")
    world.clock.ms -= 3_600_000 * 2
    faults = Faults()

    async def opened(subscriber):
        before = faults.passed["reader.open", "before"]
        for _ in range(2):
            world.clock.ms += TOO_EARLY_MS
            assert await read(subscriber) == []
        return faults.passed["reader.open", "before"] - before

    async with client(faults=faults) as subscriber:
        assert await read(subscriber) == []
        assert await opened(subscriber) == 0
        first, second, _ = envelopes(gb.broker)
        gb.broker.cut(OUT, first.offset + 1)  # retention took a
        world.clock.ms += 3_600_000 - TOO_EARLY_MS * 3
        assert await opened(subscriber) == 1 + 1  # at the place that is lost, then at the oldest
        assert (await future(subscriber), await opened(subscriber)) == (3, 0)
        world.clock.ms += 3_600_000
        assert [seen.leaf for seen in await read(subscriber)] == leaves
        assert (await future(subscriber), await opened(subscriber)) == (1, 0)
        kept = [one.offset for one in await subscriber.quarantine() if one.reason is Reason.NOT_YET_VALID]
        assert kept == [first.offset] != [second.offset]


async def test_a_record_from_more_than_seven_days_ahead_is_not_tried_again(client, world, monkeypatch):
    monkeypatch.setattr(state, "KEPT_VALUES", 0)
    await publish(world, "a")
    world.clock.ms -= NOT_YET_MS + 3_600_000
    async with client() as subscriber:
        assert await read(subscriber) == []
        world.clock.ms += NOT_YET_MS + 7_200_000
        assert await read(subscriber) == []
        assert await future(subscriber) == 1


async def test_what_no_trust_makes_valid_takes_no_room_of_what_may_become_valid(
    client, world, gb, tmp_path, monkeypatch
):
    """Junk first; then what waits for a key, whose topic is gone when the key comes."""
    monkeypatch.setattr(state, "KEPT_VALUES", 1)
    (leaf,) = await publish(world, "a")
    (true,) = envelopes(gb.broker)
    other = MemoryBroker(world.clock)
    other.create(OUT)
    for value in (b"junk", b"more junk", true.value):
        other.append(Outbound(OUT, b"", value, ()))
    subscribe(tmp_path)
    write_trust(tmp_path, without=("gb",))
    async with client(other) as subscriber:
        assert await read(subscriber) == []
        other.cut(OUT, 3)
        write_trust(tmp_path, version=2)
        assert [seen.leaf for seen in await read(subscriber)] == [leaf]


async def test_a_reader_that_takes_its_time_sees_each_once_whatever_is_tried_again_meanwhile(client, world):
    leaves = await publish(world, "a", "b", "c")
    world.clock.ms -= 3_600_000
    async with client() as subscriber:
        assert await read(subscriber) == []
        world.clock.ms += 3_600_000
        shown = []
        async for seen in subscriber.available():
            shown.append(seen.leaf)
            world.clock.ms += TOO_EARLY_MS
    assert shown == leaves


async def test_what_was_fetched_and_not_taken_yet_does_not_pass_over_what_is_to_be_read_again(
    client, world, gb, monkeypatch
):
    monkeypatch.setattr(state, "KEPT_VALUES", 0)
    first, last = await publish(world, "a", "c")
    world.clock.ms += 3_600_000
    (later,) = await publish(world, "b")
    world.clock.ms -= 3_600_000
    a, c, b = envelopes(gb.broker)
    other = MemoryBroker(world.clock)
    other.create(OUT)
    for record in (b, a, c):
        other.append(Outbound(OUT, b"", record.value, ()))
    async with client(other) as subscriber:
        assert (await anext(subscriber)).leaf == first
        world.clock.ms += 3_600_000
        assert [seen.leaf for seen in await read(subscriber)] == [later, last]


async def future(subscriber):
    """How many reports rest that are from the future."""
    return sum(one.reason is Reason.NOT_YET_VALID for one in await subscriber.quarantine())
