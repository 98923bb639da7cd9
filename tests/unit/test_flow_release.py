"""Release: one poisonous report stops no audience."""

from __future__ import annotations

import pytest
from tests.crash.test_flow import story
from tests.crash.world import Checker, World

from tocsin.flow import release
from tocsin.flow.rows import Due

MINUTES_A_DAY = 1_440


async def test_a_bug_on_one_due_row_puts_it_off_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch):
    """Where `decide` raises for one report and audience, that row waits a day as INTERNAL; every other is released."""
    world = World()
    decide, poisoned = release.decide, []

    def sick(question):
        if question.audience == "jp" and not question.chain and question.node == "gb":
            poisoned.append(question)
            raise ZeroDivisionError
        return decide(question)

    monkeypatch.setattr(release, "decide", sick)
    await story(world, reports=2)
    gb = world.nodes["gb"]
    _, notes, to_jp = Checker("gb", "jp").read(gb.broker, world.clock())
    _, _, to_ke = Checker("gb", "ke").read(gb.broker, world.clock())
    assert (len(to_jp), len(to_ke), notes) == (0, 2, [])
    rows = [row for row in gb.disk.rows[Due].values() if row.cause == "INTERNAL"]
    assert len(rows) == len(poisoned) == 2
    monkeypatch.undo()
    world.clock.ms += MINUTES_A_DAY * 60_000
    await world.settle()
    _, notes, to_jp = Checker("gb", "jp").read(gb.broker, world.clock())
    assert (len(to_jp), notes) == (2, [])
