"""No question of the flow may cost more, the more a store holds: SQLite says how it would look for each.

Three nodes run over SQLite with all their loops, officers and pruning; every question that reaches a store is asked for
its plan. A condition that no index serves must be one of the few that are excused here, with the reason; and where only
the first few rows are wanted, no others may be sorted.
"""

from __future__ import annotations

import re
from dataclasses import replace

from tests.crash.running import Federation, Process
from tests.crash.world import SCHEMA, holding

from tocsin.flow import topics
from tocsin.flow.issue import Wanted
from tocsin.flow.loops import State
from tocsin.flow.outcome import What
from tocsin.flow.ports import Outbound
from tocsin.flow.prune import MS_PER_DAY, Prune
from tocsin.flow.rows import Hold, Resend
from tocsin.store import sqlite, statements
from tocsin.store.store import SqlStore
from tocsin.store.tables import TABLES
from tocsin.survey import survey
from tocsin.wire.header import Stage, Tlp

FEW = {"outlet", "source", "spoken", "marker", "resend"}
"""As many rows as a configuration names topics and policies, or as officers have just ordered."""
EXCUSED = {
    ("due", "audience", "minute"): ("audience", "in order up to a batch; mostly all audiences are this process's"),
    ("quarantined", "at_ms", "offset", "reason", "state", "topic"): ("at_ms", "few are not valid yet"),
}
"""Table and columns of a question → the column that no index serves, and why that does no harm."""
SORTED = "USE TEMP B-TREE FOR ORDER BY"


class Questions:
    """Every SELECT that was asked, with its plan."""

    def __init__(self, monkeypatch):
        self._about, self._plans = {}, {}
        for name in ("finding", "counting", "getting"):
            monkeypatch.setattr(statements, name, self._noting(name, getattr(statements, name)))
        run = sqlite.SqliteSession.run

        async def asking(session, statement, parameters):
            if statement in self._about and statement not in self._plans:
                self._plans[statement] = _plan(session, statement, parameters)
            return await run(session, statement, parameters)

        monkeypatch.setattr(sqlite.SqliteSession, "run", asking)

    def _noting(self, name, make):
        def made(table, shape, *rest, **limit):
            statement, limited = make(table, shape, *rest, **limit), limit.get("limited", False)
            columns = [c.name for c in table.primary_key] if name == "getting" else [column for column, _, _ in shape]
            self._about[statement] = table.name, frozenset(columns), limited
            return statement

        return made

    def asked(self):
        """(table, columns) of every question."""
        return {(table, columns) for table, columns, _ in (self._about[statement] for statement in self._plans)}

    def wrong(self):
        """(what is wrong, table, columns, plan) of each question that grows with the store."""
        for statement, plan in self._plans.items():
            table, columns, limited = self._about[statement]
            if table in FEW:
                continue
            lines = [line for line in plan if line.startswith(("SEARCH", "SCAN"))]
            served = set.intersection(*[set(re.findall(r"(\w+)[=<>]", line)) for line in lines])
            if lines[0].startswith("SCAN") or columns - served - {EXCUSED.get((table, *sorted(columns)), ("", ""))[0]}:
                yield "no index", table, sorted(columns), plan
            elif limited and SORTED in plan:
                yield "sorted whole", table, sorted(columns), plan


def _plan(session, statement, parameters):
    sql, names, constants = sqlite._sql(statement)
    given = constants | parameters
    found = session._driver.execute(f"EXPLAIN QUERY PLAN {sql}", [given[name] for name in names])
    return [row[3] for row in found]


async def test_every_question_of_the_flow_is_served_by_an_index(tmp_path, monkeypatch):
    """Also those that only a reject, a hold, another policy, a retraction, an officer or a long time brings about."""
    questions = Questions(monkeypatch)
    federation = Federation()
    running = []
    for node in ("gb", "jp", "ke"):
        store = SqlStore(f"sqlite:///{tmp_path}/{node}")
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
        await gb.until(lambda: ("hold", frozenset({"leaf"})) in questions.asked(), "another policy", 60)
        sent = federation.look("gb", "jp")[2][0]
        await gb.issue.issue(Wanted({"title": "withdrawn"}, Tlp.CLEAR, Stage.RETRACTION, follows=sent.leaf), SCHEMA)
        await gb.until(lambda: federation.complete(7), "the retraction everywhere", 60)

        federation.brokers["gb"].append(Outbound(topics.stream("gb", "jp"), b"", b"no report", ()))
        await gb.until(lambda: any(o.what is What.REJECTED for o in jp.watch.outcomes), "its rejection", 60)
        jp.loops.setting_moved()  # what rests is tried again
        async with jp.store.begin() as tx:
            await tx.add([Resend(topics.stream("jp", "public"), 1, 2, 0)])
        await survey(jp.store, [inlet for inlet, _ in federation.inlets("jp")], federation.clock(), 0, {})
        await Prune(jp.store, lambda: federation.clock() + 9 * MS_PER_DAY, 1).run()
        again = frozenset({"topic", "offset", "state", "reason"})
        await gb.until(lambda: ("quarantined", again) in questions.asked(), "the rejected record tried again", 60)
        resent = frozenset({"topic", "epoch", "seq"})
        await gb.until(lambda: ("outgoing", resent) in questions.asked(), "the officer's order carried out", 60)
        assert len(await held("SUPERSEDED")) == 6
    finally:
        for process in running:
            await process.kill()
            await process.store.close()
    assert {table.name for table in TABLES.values()} - FEW == {table for table, _ in questions.asked()} - FEW
    assert list(questions.wrong()) == []
    assert EXCUSED.keys() <= {(table, *sorted(columns)) for table, columns in questions.asked()}, "an idle excuse"
