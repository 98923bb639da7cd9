"""What a reader's client refuses: kept with its reason, tried again when that may help, and never more than has room."""

import hashlib
import json
import sqlite3
from contextlib import closing

import pytest
from tests.crash.world import trust_document
from tests.unit.clients import OUT, copy, envelopes, forked_head, publish, read, signed_anew, subscribe, write_trust

from tocsin.errors import AdapterError
from tocsin.flow import topics
from tocsin.flow.outbox import CONTENT_TYPE
from tocsin.flow.ports import Outbound
from tocsin.flow.rejects import HEADER_KEPT, HEADERS_KEPT
from tocsin.memory import Faults, MemoryBroker
from tocsin.reader import Condition, state
from tocsin.reader.subscriber import TOO_EARLY_MS
from tocsin.wire.reasons import NOT_YET_MS, Note, Reason
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


async def test_who_floods_the_topic_does_not_fill_the_disk_nor_push_out_what_another_reason_tells(
    client, world, gb, monkeypatch
):
    monkeypatch.setattr(state, "KEPT_REFUSED", 3)
    (leaf,) = await publish(world, "a")
    (true,) = envelopes(gb.broker)
    wrong = signed_anew(true.value, schema_sha256=b"\1" * 32)
    headers = tuple(("n" * 1000, bytes(1000)) for _ in range(100))
    other = MemoryBroker(world.clock)
    other.create(OUT)
    for value in (wrong, *(b"junk %d" % i for i in range(10)), true.value):
        other.append(Outbound(OUT, b"", value, headers))
    async with client(other) as subscriber:
        assert [seen.leaf for seen in await read(subscriber)] == [leaf]
        kept = [(one.offset, one.reason, one.value) for one in await subscriber.quarantine()]
        mismatch = (0, Reason.SCHEMA_MISMATCH, wrong)  # its bytes prove that gb signed it
        assert kept == [mismatch, *((offset, Reason.FRAMING, None) for offset in (8, 9, 10))]
        assert subscriber.health().counts["rejected.FRAMING"] == 10
        cut = await subscriber._file.run(lambda db: db.execute("SELECT headers FROM quarantine").fetchone()[0])
        assert json.loads(cut) == [["n" * HEADER_KEPT, "00" * HEADER_KEPT]] * HEADERS_KEPT


async def test_of_notes_the_newest_of_each_kind_are_kept_and_the_heads_that_prove_a_fork_all(
    client, world, gb, monkeypatch
):
    monkeypatch.setattr(state, "KEPT_NOTES", 2)
    await publish(world, "a", "b", "c")
    lost = envelopes(gb.broker)[1]
    other = copy(gb.broker, MemoryBroker(world.clock), lambda record: record.value != lost.value)
    for n in range(5):
        other.append(forked_head(gb, 1, bytes([n]) * 32))
    async with client(other) as subscriber:
        await read(subscriber)
        assert [one.note for one in await subscriber.notes()] == [Note.GAP, Note.FORK, Note.FORK]
        heads = await subscriber._file.run(lambda db: db.execute("SELECT head FROM head WHERE seq = 1").fetchall())
        assert len(heads) == 1 + 5


async def test_a_state_file_of_another_version_is_an_error_that_says_so(client, tmp_path):
    path = tmp_path / "reader.db"
    with closing(sqlite3.connect(path)) as old:
        old.execute("CREATE TABLE quarantine (seq INTEGER PRIMARY KEY, reason TEXT NOT NULL)")
    path.chmod(0o600)
    with pytest.raises(AdapterError, match=r"no such column: due_ms.*\n*.*of another version"):
        async with client():
            pass


async def future(subscriber):
    """How many reports rest that are from the future."""
    return sum(one.reason is Reason.NOT_YET_VALID for one in await subscriber.quarantine())
