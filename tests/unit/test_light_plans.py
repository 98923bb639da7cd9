"""No question of a light client may cost more, the more its file holds: SQLite says how it would look for each.

A lab and a reader do all that they do by themselves, and every statement that reaches their files is asked for its
plan. Lists that somebody orders (`pending`, `receipts` of everything, `notes`, `quarantine`) are as long as they are.
"""

import re
import sqlite3

import pytest
from tests.unit.clients import (
    OUT,
    REPORT,
    enrol,
    envelopes,
    in_memory,
    publish,
    signed_anew,
    subscribe,
    when,
    write_trust,
)

import tocsin.lab.config
import tocsin.reader.config
from tocsin.flow import topics
from tocsin.flow.ports import Outbound
from tocsin.lab import Reporter
from tocsin.lab.spool import RESEND_MS
from tocsin.reader import Subscriber, state
from tocsin.reader.subscriber import TOO_EARLY_MS
from tocsin.wire.envelope import parse_envelope
from tocsin.wire.header import Stage
from tocsin.wire.reasons import Note

FEW = {
    "place": "one row",
    "owner": "whose file it is, asked when it is opened",
    "tally": "one row a kind of verdict",
    "unverified": "MOST_UNVERIFIED rows at the most",
    "submission_waiting": "an index of what is not both sent and answered yet",
    "reread": "one row a reason; of a lab one at all",
}
"""Tables and indexes that may be read from end to end, and why that does no harm."""
IN, BACK = topics.submissions("gb", "frontier"), topics.receipts("gb", "frontier")


class Questions:
    """Every statement that a light client's file was asked, with its plan."""

    def __init__(self, monkeypatch):
        self.plans = plans = {}

        class Asked(sqlite3.Connection):
            def execute(self, statement, parameters=()):
                if re.match(r"\s*(SELECT|INSERT|UPDATE|DELETE)", statement) and statement not in plans:
                    found = super().execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
                    plans[statement] = [row[3] for row in found]
                return super().execute(statement, parameters)

            def executemany(self, statement, rows):
                for row in rows:
                    self.execute(statement, row)

        connect = sqlite3.connect
        monkeypatch.setattr(sqlite3, "connect", lambda *given, **more: connect(*given, factory=Asked, **more))

    def tables(self):
        """What was asked of at all."""
        return {name for statement in self.plans for name in re.findall(r"(?:FROM|INTO|^\s*UPDATE) (\w+)", statement)}

    def wrong(self):
        """(statement, line of its plan) that grows with the file."""
        return [(statement, line) for statement, plan in self.plans.items() for line in plan if _grows(line)]

    def excused(self):
        """Those of the FEW that were read from end to end."""
        lines = [line for plan in self.plans.values() for line in plan if _reads_all(line)]
        return {name for line in lines for name in re.findall(r"\w+", line) if name in FEW}


def _reads_all(line):
    """Whether it reads a table or an index from end to end; the least or greatest without an index is a SEARCH too."""
    if line.startswith("SCAN"):
        return line != "SCAN CONSTANT ROW" and "(subquery" not in line
    return line.startswith("SEARCH") and ("USING" not in line or "AUTOMATIC" in line)


def _grows(line):
    return line.startswith("USE TEMP B-TREE") or (_reads_all(line) and not FEW.keys() & set(re.findall(r"\w+", line)))


@pytest.fixture
def questions(monkeypatch):
    return Questions(monkeypatch)


async def test_every_question_of_a_labs_client_is_served_by_an_index(tmp_path, world, gb, questions):
    """A report that is answered, one that is not and is sent again, a receipt that does not verify."""
    config = tocsin.lab.config.load(enrol(tmp_path))

    def client():
        return Reporter(config, carriage=in_memory(gb.broker), clock=world.clock)

    async with client() as reporter:
        first = await reporter.report(REPORT)
        gb.broker.append(Outbound(BACK, b"", b"no statement", ()))
        assert (await when(world, first.receipt())).decision == "ACCEPTED"
        assert len(await reporter.unverified()) == 1
        second = await reporter.report(REPORT, follows=first.leaf)
    gb.broker.delete(IN)  # what it had acknowledged is lost
    gb.broker.create(IN)
    world.clock.ms += RESEND_MS + 1000
    async with client():
        pass
    assert [parse_envelope(record.value).leaf for record in gb.broker.records(IN)] == [second.leaf]
    assert questions.tables() == {"submission", "receipt", "unverified", "place", "reread", "owner"}
    assert questions.wrong() == []
    assert questions.excused() == {"place", "unverified", "reread", "owner", "submission_waiting"}


async def test_every_question_of_a_readers_client_is_served_by_an_index(tmp_path, world, gb, questions, monkeypatch):
    """Refused records of which few are kept, another trust view, revisions of every kind, a repeat."""
    monkeypatch.setattr(state, "KEPT_VALUES", 2)
    a, b = await publish(world, "a", "b")
    first = envelopes(gb.broker)[0].value
    withdrawn = signed_anew(first, revision=1, prev=a, stage=Stage.RETRACTION)
    update = {"prev": a, "stage": Stage.UPDATE}
    notes = {
        withdrawn: (),
        signed_anew(first): (Note.REVISION_FORK,),
        signed_anew(first, **update, revision=1): (Note.REVISION_FORK,),
        signed_anew(first, **update, revision=3): (Note.LIFECYCLE,),
        signed_anew(first, **update | {"prev": parse_envelope(withdrawn).leaf}, revision=2): (Note.LIFECYCLE,),
        signed_anew(first, **update | {"prev": b"\5" * 32}, revision=4): (Note.REVISION_MISSING,),
        signed_anew(first, **update | {"prev": b}, revision=5): (Note.LIFECYCLE,),  # that is another incident
    }
    for value in (*notes, first, b"no report"):
        gb.broker.append(Outbound(OUT, b"", value, ()))
    config = tocsin.reader.config.load(subscribe(tmp_path))
    write_trust(tmp_path, without=("gb",))
    async with Subscriber(config, carriage=in_memory(gb.broker), clock=world.clock) as subscriber:
        assert [seen async for seen in subscriber.available()] == []
        world.clock.ms += TOO_EARLY_MS
        write_trust(tmp_path, version=2)
        shown = [seen async for seen in subscriber.available()]
        world.clock.ms += TOO_EARLY_MS
        assert [seen async for seen in subscriber.available()] == []
        counts = subscriber.health().counts
    assert {seen.framed: seen.notes for seen in shown if seen.leaf not in {a, b}} == notes
    assert (len(shown), counts["repeat"]) == (2 + len(notes), 1)
    assert questions.tables() == {*("place", "held", "rung", "head", "note", "quarantine", "reread", "tally", "owner")}
    assert questions.wrong() == []
    assert questions.excused() == {"place", "reread", "tally", "owner"}
