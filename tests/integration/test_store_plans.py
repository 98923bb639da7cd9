"""No question of the flow may cost more, the more a store holds: both databases say how they would look for each.

Three nodes run over SQLite with all their loops, officers and pruning; of every question that reaches a store, SQLite
says its plan at once, and PostgreSQL afterwards, over tables that are full. A condition that no index serves must be
one of the few that are excused here, with the reason; and where only the first few rows are wanted, no others may be
sorted.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, replace

import pytest
from sqlalchemy import BigInteger, Boolean, LargeBinary, text
from sqlalchemy.dialects.postgresql import asyncpg
from tests.crash.running import Federation, Process
from tests.crash.world import SCHEMA, holding
from tests.integration.postgres import running_postgres, skip_or_fail

from tocsin.flow import topics
from tocsin.flow.issue import Wanted
from tocsin.flow.loops import State
from tocsin.flow.outcome import What
from tocsin.flow.ports import Outbound
from tocsin.flow.prune import MS_PER_DAY, Prune
from tocsin.flow.rows import Hold, Resend, Submission
from tocsin.store import sqlite, statements
from tocsin.store.store import SqlStore
from tocsin.store.tables import TABLES
from tocsin.survey import survey
from tocsin.wire.header import Stage, Tlp

FEW = {"outlet", "source", "spoken", "marker", "resend"}
"""As many rows as a configuration names topics and policies, or as officers have just ordered."""
EXCUSED = {
    ("due", "audience", "minute"): ("audience", "in order up to a batch; mostly all audiences are this process's"),
}
"""Table and columns of a question → the column that no index serves, and why that does no harm."""
MANY = 5_000
"""Rows of each other table in PostgreSQL, whose plans depend on it."""


@dataclass(frozen=True)
class Question:
    """What one statement asks for."""

    table: str
    columns: frozenset
    limited: bool


@dataclass(frozen=True)
class Plan:
    """How a database would look for it: the columns by which an index finds the rows, whether it sorts, its words."""

    served: frozenset
    sorts: bool
    words: object


def wrong(questions, plans):
    """(what is wrong, table, columns, plan) of each question that grows with the store."""
    for statement, plan in plans.items():
        asked = questions[statement]
        excused, _ = EXCUSED.get((asked.table, *sorted(asked.columns)), ("", ""))
        if asked.table in FEW:
            continue
        if not plan.served or asked.columns - plan.served - {excused}:
            yield "no index", asked.table, sorted(asked.columns), plan.words
        elif asked.limited and plan.sorts:
            yield "sorted whole", asked.table, sorted(asked.columns), plan.words


class Flow:
    """Every SELECT that was asked while the flow ran: its question, and SQLite's plan."""

    def __init__(self, monkeypatch):
        self.questions, self.plans = {}, {}
        for name in ("finding", "counting", "getting"):
            monkeypatch.setattr(statements, name, self._noting(name, getattr(statements, name)))
        run = sqlite.SqliteSession.run

        async def asking(session, statement, parameters):
            if statement in self.questions and statement not in self.plans:
                self.plans[statement] = sqlite_plan(session, statement, parameters)
            return await run(session, statement, parameters)

        monkeypatch.setattr(sqlite.SqliteSession, "run", asking)

    def _noting(self, name, make):
        def made(table, shape, *rest, **limit):
            statement = make(table, shape, *rest, **limit)
            columns = [c.name for c in table.primary_key] if name == "getting" else [column for column, _, _ in shape]
            self.questions[statement] = Question(table.name, frozenset(columns), limit.get("limited", False))
            return statement

        return made

    def asked(self):
        """(table, columns) of every question."""
        return {(question.table, question.columns) for question in self.questions.values()}


def sqlite_plan(session, statement, parameters):
    sql, names, constants = sqlite._sql(statement)
    given = constants | parameters
    found = session._driver.execute(f"EXPLAIN QUERY PLAN {sql}", [given[name] for name in names])
    lines = [row[3] for row in found]
    scans = [set(re.findall(r"(\w+)[=<>]", line)) for line in lines if line.startswith(("SEARCH", "SCAN"))]
    return Plan(frozenset(set.intersection(*scans)), "USE TEMP B-TREE FOR ORDER BY" in lines, lines)


def postgres_plan(connection, statement):
    """Its generic plan: the one that is kept for whatever values come, when a statement is often asked."""
    sql = statement.compile(dialect=asyncpg.dialect())  # whose parameters are $1, $2 …
    [[[plan]]] = connection.exec_driver_sql(f"EXPLAIN (GENERIC_PLAN, FORMAT JSON) {sql}")
    nodes = list(_nodes(plan["Plan"]))
    scans = [node for node in nodes if "Scan" in node["Node Type"] and "Plans" not in node]
    served = [set(re.findall(r'(\w+)"? [=<>]', node.get("Index Cond", ""))) for node in scans]
    return Plan(frozenset(set.intersection(*served)), any(node["Node Type"] == "Sort" for node in nodes), plan)


def _nodes(node):
    yield node
    for below in node.get("Plans", ()):
        yield from _nodes(below)


def fill(connection):
    """Rows of which PostgreSQL knows that they are many: numbers and hashes that differ, words that repeat."""
    for table in TABLES.values():
        if table.name not in FEW:
            values = ", ".join(_value(column) for column in table.c)
            connection.execute(text(f"INSERT INTO {table.name} SELECT {values} FROM generate_series(1, {MANY}) i"))
    connection.execute(text("ANALYZE"))


def _value(column):
    match column.type:
        case LargeBinary():
            return "sha256(CAST(CAST(i AS text) AS bytea))"
        case Boolean():
            return "i % 2 = 0"
        case BigInteger():
            return "i"
    return "'word ' || i % 7"


@pytest.fixture(scope="module")
def flow(tmp_path_factory):
    with pytest.MonkeyPatch.context() as monkeypatch:
        flow = Flow(monkeypatch)
        asyncio.run(play(flow, tmp_path_factory.mktemp("stores")))
    return flow


async def play(flow, folder):
    """Also what only a reject, a hold, another policy, a retraction, an officer or a long time brings about."""
    federation = Federation()
    running = []
    for node in ("gb", "jp", "ke"):
        store = SqlStore(f"sqlite:///{folder}/{node}")
        await store.migrate()
        running.append(Process(federation, node, store=store))
    gb, jp, _ = running
    known = gb.setting_now
    gb.setting_now = replace(known, policies=holding(1))
    for process in running:
        process.start()

    async def held(state):
        async with gb.store.begin() as tx:
            return await tx.find(Hold, {"state": state})

    def settled():
        return jp.loops.state is State.READY and federation.complete(6)

    try:
        for _ in range(6):
            federation.submit()
        await gb.until(settled, "six reports everywhere", 60)
        assert len(await held("OPEN")) == 6
        gb.setting_now = replace(known, policies=holding(2))
        gb.loops.setting_moved()
        await gb.until(lambda: ("hold", frozenset({"leaf"})) in flow.asked(), "another policy", 60)
        sent = federation.look("gb", "jp")[2][0]
        await gb.issue.issue(Wanted({"title": "withdrawn"}, Tlp.CLEAR, Stage.RETRACTION, follows=sent.leaf), SCHEMA)
        await gb.until(lambda: federation.complete(7), "the retraction everywhere", 60)

        federation.brokers["gb"].append(Outbound(topics.stream("gb", "jp"), b"", b"no report", ()))
        await gb.until(lambda: any(o.what is What.REJECTED for o in jp.watch.outcomes), "its rejection", 60)
        jp.loops.setting_moved()  # what rests is tried again
        async with jp.store.begin() as tx:
            await tx.add([Resend(topics.stream("jp", "public"), 1, 2, 0)])
        await survey(
            jp.store, jp.setting_now, [inlet for inlet, _ in federation.inlets("jp")], federation.clock(), 0, {}
        )
        await Prune(jp.store, lambda: federation.clock() + 9 * MS_PER_DAY, 1).run()
        again = frozenset({"topic", "offset", "state", "reason", "retry_ms"})
        await gb.until(lambda: ("quarantined", again) in flow.asked(), "the rejected record tried again", 60)
        resent = frozenset({"topic", "epoch", "seq"})
        await gb.until(lambda: ("outgoing", resent) in flow.asked(), "the officer's order carried out", 60)
        async with gb.store.begin() as tx:
            [told, *_] = await tx.find(Submission, {"state": "ISSUED", "told": True})
            await tx.put([replace(told, told=False)])
        await gb.until(lambda: ("due", frozenset({"leaf"})) in flow.asked(), "a lab told", 60)
        assert len(await held("SUPERSEDED")) == 6
    finally:
        for process in running:
            await process.kill()
            await process.store.close()


def test_every_table_is_asked_and_no_excuse_is_idle(flow):
    assert {table.name for table in TABLES.values()} - FEW == {table for table, _ in flow.asked()} - FEW
    assert EXCUSED.keys() <= {(table, *sorted(columns)) for table, columns in flow.asked()}


def test_sqlite_serves_every_question_of_the_flow_by_an_index(flow):
    assert list(wrong(flow.questions, flow.plans)) == []


@pytest.mark.postgres
async def test_postgresql_serves_every_question_of_the_flow_by_an_index(flow):
    """Under the node's own settings of a session."""
    skip_or_fail()

    def look(connection):
        fill(connection)
        return {statement: postgres_plan(connection, statement) for statement in flow.questions}

    with running_postgres() as server:
        store = SqlStore(server.new_database())
        await store.migrate()
        plans = await store._database.inspect(look)
        await store.close()
    assert list(wrong(flow.questions, plans)) == []
