"""A reader's client: every report once, in order, verified; gaps told from quiet; nothing bad ever stops it."""

import asyncio
import dataclasses
import itertools
import json

import pytest
from tests.crash.world import SCHEMA, START_MS
from tests.unit.clients import (
    OUT,
    copies_that_disagree,
    copy,
    envelopes,
    exercise_of,
    forked_head,
    indented,
    publish,
    read,
    signed_hop,
)

import tocsin.reader
from tocsin.errors import AdapterError, ConfigError
from tocsin.flow.ports import Outbound
from tocsin.memory import Faults, MemoryBroker
from tocsin.reader import Condition
from tocsin.reader.config import load
from tocsin.reader.health import SILENT_MS
from tocsin.wire.envelope import frame_envelope, parse_envelope
from tocsin.wire.hop import Code, parse_body
from tocsin.wire.reasons import Note, Reason


def test_the_configuration_in_the_docstring_loads(tmp_path):
    path = tmp_path / "reader.toml"
    path.write_text(indented(tocsin.reader.__doc__, "[reader]"))
    config = load(path)
    assert (config.reader.audience, config.node.id, config.reader.exercises) == ("public", "gb", "drop")
    compile(indented(tocsin.reader.__doc__, "import asyncio"), "example", "exec")


async def test_a_report_is_shown_with_what_is_disclosed_and_what_is_withheld_by_whom(client, world):
    (leaf,) = await publish(world, "Röntgen", severity=4, severity_assessed_by="gb", occurred_from=START_MS)
    async with client() as subscriber:
        (seen,) = await read(subscriber)
    assert (seen.leaf, seen.header.origin, [hop.audience for hop in seen.hops]) == (leaf, "gb", ["jp"])
    assert json.loads(json.dumps(seen.fields)) == seen.fields
    assert (seen.fields["title"], seen.fields["severity"], seen.fields["occurred_month"]) == (
        "Röntgen",
        4,
        "2026-09-01",
    )
    assert seen.fields["multi_agent"] is None
    withheld = {one.name: one for one in seen.withheld}
    assert not withheld.keys() & seen.fields.keys()
    assert withheld.keys() | seen.fields.keys() == {field.name for field in SCHEMA.fields}
    assert (withheld["developer"].by, withheld["developer"].code, withheld["developer"].until) == (
        "gb",
        Code.WITHHELD,
        None,
    )
    assert withheld["occurred_day"].code is Code.COARSENED
    assert (seen.unreadable, seen.notes) == ((), ())


async def test_each_report_is_shown_once_in_order_also_over_restarts_and_repeats(client, world, gb):
    leaves = await publish(world, "a", "b", "c")
    async with client() as subscriber:
        assert [seen.leaf for seen in await read(subscriber)] == leaves
        assert await read(subscriber) == []
    for record in envelopes(gb.broker):
        gb.broker.append(Outbound(OUT, record.key, record.value, record.headers))
    leaves = await publish(world, "d")
    async with client() as subscriber:
        assert [seen.leaf for seen in await read(subscriber)] == leaves
        health = subscriber.health()
        assert (health.counts["seen"], health.counts["repeat"], health.position.seq) == (4, 3, 4)
        assert await subscriber.notes() == []


async def test_a_report_counts_as_handled_when_the_next_is_asked_for_or_the_block_ends_well(client, world):
    leaves = await publish(world, "a", "b", "c", "d")
    shown = []

    async def fails_at_the_second():
        async with client() as subscriber:
            async for seen in subscriber:
                shown.append(seen.leaf)
                if len(shown) == 2:
                    raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fails_at_the_second()
    async with client() as subscriber:
        async for seen in subscriber:
            shown.append(seen.leaf)
            if len(shown) == 4:
                break
    async with client() as subscriber:
        shown += [seen.leaf for seen in await read(subscriber)]
    assert shown == [leaves[0], leaves[1], leaves[1], leaves[2], leaves[3]]


async def test_who_stops_waiting_at_any_moment_loses_nothing_and_sees_nothing_twice(client, world):
    leaves = await publish(world, *map(str, range(12)))
    shown = []
    async with client() as subscriber:
        for turn in itertools.count():
            task = asyncio.ensure_future(anext(subscriber))
            await asyncio.wait([task], timeout=0.0003 * (turn % 199))
            task.cancel()
            result = (await asyncio.gather(task, return_exceptions=True))[0]
            if not isinstance(result, BaseException):
                shown.append(result.leaf)
            if len(shown) == len(leaves):
                break
    assert shown == leaves


async def test_a_missing_record_is_a_gap_and_is_healed_when_it_is_sent_again(client, world, gb):
    leaves = await publish(world, "a", "b", "c")
    lost = envelopes(gb.broker)[1]
    other = copy(gb.broker, MemoryBroker(world.clock), lambda record: record.value != lost.value)
    async with client(other) as subscriber:
        assert [seen.leaf for seen in await read(subscriber)] == [leaves[0], leaves[2]]
        health = subscriber.health()
        assert health.condition is Condition.GAP
        assert [(gap.first, gap.last) for gap in health.open] == [(2, 2)]
    other.append(Outbound(OUT, lost.key, lost.value, lost.headers))
    async with client(other) as subscriber:
        (seen,) = await read(subscriber)
        assert (seen.leaf, seen.notes) == (leaves[1], (Note.HEALED,))
        assert (subscriber.health().condition, subscriber.health().open) == (Condition.WHOLE, ())
        assert [one.note for one in await subscriber.notes()] == [Note.GAP, Note.HEALED]


async def test_signed_heads_tell_quiet_from_silence_and_from_a_broken_way(client, world, gb):
    await world.settle()
    async with client() as subscriber:
        assert subscriber.health().condition is Condition.CATCHING_UP  # nothing was looked at yet
        assert await read(subscriber) == []
        health = subscriber.health()
        assert (health.condition, health.lag, health.open) == (Condition.WHOLE, 0, ())
        assert 0 <= health.head_age_ms < 1000
        world.clock.ms += SILENT_MS + 1000
        assert await read(subscriber) == []
        assert subscriber.health().condition is Condition.SILENT
        await world.settle()  # the node's sign of life
        assert await read(subscriber) == []
        assert subscriber.health().condition is Condition.WHOLE
        gb.broker.down = True
        with pytest.raises(AdapterError, match="the broker cannot be reached"):
            await read(subscriber)
        assert subscriber.health().condition is Condition.UNREACHABLE
        waiting = asyncio.ensure_future(anext(subscriber))
        (leaf,) = await publish_while_down(world, gb)
        assert (await asyncio.wait_for(waiting, 20)).leaf == leaf
        assert subscriber.health().fault is None


async def publish_while_down(world, gb):
    """A report that is issued while nobody reaches the broker, and sent when it is back."""
    await asyncio.sleep(0)
    gb.broker.down = False
    return await publish(world, "later")


async def test_a_flipped_bit_anywhere_in_a_record_is_refused_and_the_true_one_is_shown(client, world, gb):
    (leaf,) = await publish(world, "a")
    (true,) = envelopes(gb.broker)
    other = MemoryBroker(world.clock)
    other.create(OUT)
    for at in range(0, len(true.value), 5):
        damaged = true.value[:at] + bytes([true.value[at] ^ (1 << at % 8)]) + true.value[at + 1 :]
        other.append(Outbound(OUT, true.key, damaged, true.headers))
    other.append(Outbound(OUT, true.key, true.value, true.headers))
    async with client(other) as subscriber:
        assert [seen.leaf for seen in await read(subscriber)] == [leaf]
        refused = sum(n for name, n in subscriber.health().counts.items() if name.startswith("rejected."))
        assert refused == len(other.records(OUT)) - 1


async def test_a_bug_of_ours_on_one_record_does_not_stop_the_stream(client, world, monkeypatch):
    leaves = await publish(world, "a", "b")
    true = tocsin.reader.take.seen_of

    def fails_once(verified):
        if verified.leaf == leaves[0]:
            raise KeyError("our bug")
        return true(verified)

    monkeypatch.setattr("tocsin.reader.take.seen_of", fails_once)
    async with client() as subscriber:
        assert [seen.leaf for seen in await read(subscriber)] == leaves[1:]
        assert [one.reason for one in await subscriber.quarantine()] == [Reason.INTERNAL]


async def test_drills_and_reports_are_never_mixed(client, world, gb, tmp_path):
    (leaf,) = await publish(world, "a report")
    drill = exercise_of(envelopes(gb.broker)[0].value)
    gb.broker.append(Outbound(OUT, b"", drill, ()))
    async with client() as subscriber:
        assert [seen.leaf for seen in await read(subscriber)] == [leaf]
        assert subscriber.health().counts["exercise"] == 1
    only = 'exercises = "only"\n'
    with pytest.raises(ConfigError, match="the file is of exercises 'drop', not 'only'"):
        async with client(more=only):
            pass
    async with client(more=only + 'state = "drills.db"\n') as subscriber:
        (seen,) = await read(subscriber)
        assert seen.header.exercise
        assert subscriber.health().counts["report"] == 1


async def test_another_chain_of_a_report_is_shown_again_once(client, world, gb):
    (leaf,) = await publish(world, "a")
    old = parse_envelope(envelopes(gb.broker)[0].value)
    body = parse_body(old.hops[0].body, old.n)
    later = dataclasses.replace(old, hops=(signed_hop(dataclasses.replace(body, minute=body.minute + 1), old.n),))
    for _ in range(2):
        gb.broker.append(Outbound(OUT, b"", frame_envelope(later), ()))
    async with client() as subscriber:
        shown = await read(subscriber)
    assert [seen.leaf for seen in shown] == [leaf, leaf]
    assert len({seen.chain for seen in shown}) == 2


async def test_rungs_of_two_copies_that_disagree_are_noted_and_both_copies_are_shown(client, world, gb):
    await publish(world, "a")
    fine, coarse = copies_that_disagree(envelopes(gb.broker)[0].value)
    for framed in (fine, coarse, coarse):
        gb.broker.append(Outbound(OUT, b"", framed, ()))
        async with client() as subscriber:  # each time anew: what was held before is in the file
            await read(subscriber)
    async with client() as subscriber:
        assert subscriber.health().counts["seen"] == 3
        assert [(one.note, one.subject) for one in await subscriber.notes()] == [
            (Note.LADDER_MISMATCH, parse_envelope(fine).leaf.hex())
        ]


async def test_two_heads_for_one_seq_are_a_fork_and_both_are_kept(client, world, gb):
    await publish(world, "a")
    gb.broker.append(forked_head(gb, 1, b"\1" * 32))
    gb.broker.append(forked_head(gb, 1, b"\1" * 32))
    async with client() as subscriber:
        await read(subscriber)
        assert [one.note for one in await subscriber.notes()] == [Note.FORK, Note.FORK]
        heads = await subscriber._file.run(lambda db: db.execute("SELECT head FROM head WHERE seq = 1").fetchall())
        assert len(heads) == 2


async def test_a_place_that_the_topic_no_longer_has_is_a_gap_and_not_the_end(client, world, gb):
    await publish(world, "a")
    async with client() as subscriber:
        assert len(await read(subscriber)) == 1
    leaves = await publish(world, "b", "c")
    gb.broker.cut(OUT, len(gb.broker.records(OUT)) - 2)  # retention took b
    async with client() as subscriber:
        assert [seen.leaf for seen in await read(subscriber)] == leaves[1:]
        assert [(gap.first, gap.last) for gap in subscriber.health().open] == [(2, 3)]


async def test_a_state_file_has_one_client(client):
    async with client():
        with pytest.raises(AdapterError, match="another process uses the file"):
            async with client():
                pass


async def test_after_a_failure_of_the_state_file_it_goes_on_where_the_file_says(client, world):
    leaves = await publish(world, "a", "b")
    async with client() as subscriber:
        assert (await anext(subscriber)).leaf == leaves[0]
        file = subscriber._file
        await file._in_thread(lambda: file._opened.execute("PRAGMA query_only = 1"))
        with pytest.raises(AdapterError, match="the file cannot be used"):
            await anext(subscriber)
        await file._in_thread(lambda: file._opened.execute("PRAGMA query_only = 0"))
        assert [(await anext(subscriber)).leaf for _ in range(2)] == leaves


async def test_faults_of_the_reader_at_any_fetch_are_waited_out(client, world):
    leaves = await publish(world, "a", "b", "c")
    faults = Faults()
    faults.arm("reader.open", "before", 1, AdapterError("no broker yet"))
    faults.arm("reader.fetch", "after", 1, AdapterError("cut off"))
    async with client(faults=faults) as subscriber:
        shown = [(await anext(subscriber)).leaf for _ in leaves]
    assert shown == leaves
    assert faults.passed["reader.open", "before"] >= 3
