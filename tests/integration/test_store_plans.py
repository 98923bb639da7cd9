"""No question of the flow may cost more, the more a store holds: SQLite says how it would look for each.

Three nodes run over SQLite with all their loops, officers and pruning; every question that reaches a store is asked for
its plan. A condition that no index serves must be one of the few that are excused here, with the reason.
"""

from __future__ import annotations

import re

from tests.crash.running import Federation, Process

from tocsin.flow import topics
from tocsin.flow.loops import State
from tocsin.flow.outcome import What
from tocsin.flow.ports import Outbound
from tocsin.flow.prune import MS_PER_DAY, Prune
from tocsin.flow.rows import Decided, Due, NoteRow, Outgoing, Quarantined, Report, Resend, Submission
from tocsin.store import sqlite, statements
from tocsin.store.store import SqlStore
from tocsin.store.tables import TABLES
from tocsin.survey import survey

FEW = {"outlet", "source", "spoken", "marker", "resend"}
"""As many rows as a configuration names topics and policies, or as officers have just ordered."""
WHOLE = {("report", frozenset())}
"""Read whole on purpose: a change of policies owes every report anew."""
EXCUSED = {
    ("due", "audience"): "they come in order and stop at a batch; mostly all audiences are this process's",
    ("quarantined", "reason"): "of one topic and state, in order, a batch at a time",
    ("quarantined", "at_ms"): "of one topic and state, in order, a batch at a time",
    ("outgoing", "statement"): "of one topic, whose every envelope is said again in a new epoch",
}


class Questions:
    """Every SELECT that was asked, with its plan."""

    def __init__(self, monkeypatch):
        self.plans = {}
        asked = statements.finding, statements.counting, statements.getting
        self.about = {}
        for name, make in zip(("finding", "counting", "getting"), asked, strict=True):
            monkeypatch.setattr(statements, name, self._noting(name, make))
        self._run = sqlite.SqliteSession.run
        questions = self

        async def run(session, statement, parameters):
            if statement in questions.about and statement not in questions.plans:
                questions.plans[statement] = questions._plan(session, statement, parameters)
            return await questions._run(session, statement, parameters)

        monkeypatch.setattr(sqlite.SqliteSession, "run", run)

    def _noting(self, name, make):
        def made(table, shape, *rest, **named):
            statement = make(table, shape, *rest, **named)
            columns = [c.name for c in table.primary_key] if name == "getting" else [column for column, _, _ in shape]
            self.about[statement] = table.name, frozenset(columns)
            return statement

        return made

    def _plan(self, session, statement, parameters):
        sql, names, constants = sqlite._sql(statement)
        given = constants | parameters
        found = session._driver.execute(f"EXPLAIN QUERY PLAN {sql}", [given[name] for name in names])
        return [row[3] for row in found]

    def columns(self):
        """(table, column) of everything that was asked for."""
        return {(table, column) for table, columns in self.about.values() for column in columns}

    def unserved(self):
        """(table, column, plan) of each condition that no index serves and nothing excuses."""
        for statement, plan in self.plans.items():
            table, columns = self.about[statement]
            if table in FEW or (table, columns) in WHOLE:
                continue
            served = [set(re.findall(r'"?(\w+)"?[=<>]', line)) for line in plan if line.startswith(("SEARCH", "SCAN"))]
            for column in sorted(columns - set.intersection(*served)):
                if (table, column) not in EXCUSED:
                    yield table, column, plan


async def test_every_question_of_the_flow_is_served_by_an_index(tmp_path, monkeypatch):
    """Also those that only a flood of rejects, a hold-up, a retraction or an officer brings about."""
    questions = Questions(monkeypatch)
    federation = Federation()
    running = []
    for node in ("gb", "jp", "ke"):
        store = SqlStore(f"sqlite:///{tmp_path}/{node}")
        await store.migrate()
        running.append(Process(federation, node, store=store).start())
    gb, jp, _ = running
    try:
        await gb.until(lambda: all(p.loops.state is State.READY for p in running), "ready", 60)
        for _ in range(6):
            federation.submit()
        await gb.until(lambda: federation.complete(6), "six reports everywhere", 60)
        federation.brokers["gb"].append(Outbound(topics.stream("gb", "jp"), b"", b"no report", ()))
        await gb.until(lambda: any(o.what is What.REJECTED for o in jp.watch.outcomes), "its rejection", 60)
        async with jp.store.begin() as tx:
            await tx.add([Resend(topics.stream("jp", "public"), 1, 2, 0)])
        jp.loops.setting_moved()  # what rests is tried again
        await survey(jp.store, [inlet for inlet, _ in federation.inlets("jp")], federation.clock(), 0, {})
        await Prune(jp.store, lambda: federation.clock() + 9 * MS_PER_DAY, 1).run()
        await gb.until(lambda: ("quarantined", "state") in questions.columns(), "the rejected record tried again", 60)
        await gb.until(lambda: ("outgoing", "epoch") in questions.columns(), "the officer's order carried out", 60)
    finally:
        for process in running:
            await process.kill()
            await process.store.close()
    asked = {table for table, _ in questions.columns()}
    assert asked >= {TABLES[kind].name for kind in (Report, Decided, Due, Quarantined, NoteRow, Submission, Outgoing)}
    assert list(questions.unserved()) == []
