"""Holds: what no officer's answer would change any more waits for nobody."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.crash.running import Federation, Process, of, warped
from tests.crash.world import SCHEMA, holding

from tocsin.errors import InputError
from tocsin.flow import holds as holds_of_flow
from tocsin.flow.issue import Wanted
from tocsin.flow.officer import answer_hold
from tocsin.flow.rows import Hold
from tocsin.wire.header import Stage, Tlp


def test_another_version_of_a_policy_takes_the_place_of_holds_that_nobody_answered():
    """Or they would wait, and alarm, for ever: an answer to them changes nothing. Going back to it asks again."""

    async def story():
        federation = Federation(nodes=("gb",))
        known = Process(federation, "gb").setting_now
        gb = Process(federation, "gb", setting=replace(known, policies=holding(1))).start()
        federation.submit()

        def holds():
            return {(hold.policy_version, hold.audience): hold.state for hold in of(federation, "gb", Hold)}

        await gb.until(lambda: holds() == {(1, "jp"): "OPEN"}, "a hold")
        gb.setting_now = replace(known, policies=holding(2))
        gb.loops.setting_moved()
        await gb.until(lambda: holds() == {(1, "jp"): "SUPERSEDED", (2, "jp"): "OPEN"}, "the other version's hold")
        [old] = [hold for hold in of(federation, "gb", Hold) if hold.policy_version == 1]
        async with gb.store.begin() as tx:
            with pytest.raises(InputError, match="another version"):
                await answer_hold(tx, old, approve=True, officer="amy", reason="late", now_ms=0)
        gb.setting_now = replace(known, policies=holding(1))
        gb.loops.setting_moved()
        await gb.until(lambda: holds() == {(1, "jp"): "OPEN", (2, "jp"): "SUPERSEDED"}, "asked again")
        [open_again] = [hold for hold in of(federation, "gb", Hold) if hold.state == "OPEN"]
        assert open_again.due_ms - open_again.opened_ms == known.caps.hold_due_ms
        async with gb.store.begin() as tx:
            await answer_hold(tx, open_again, approve=True, officer="amy", reason="yes", now_ms=0)
        gb.setting_now = replace(known, policies=holding(3))
        gb.loops.setting_moved()
        await gb.until(lambda: holds().get((3, "jp")) == "OPEN", "an approval is of one version")

    warped(story())


def test_what_is_retracted_waits_for_no_officer(monkeypatch):
    """Neither at its origin nor at a relay: no answer would release anything. What was answered stays answered."""
    monkeypatch.setattr(holds_of_flow, "LEAVES_AT_ONCE", 1)

    async def story():
        federation = Federation()
        gb, jp = Process(federation, "gb"), Process(federation, "jp")
        gb.setting_now = replace(gb.setting_now, policies=holding(1, "gb", "ke"))
        jp.setting_now = replace(jp.setting_now, policies=holding(1, "jp", "public"))
        for process in (gb, jp, Process(federation, "ke")):
            process.start()
        federation.submit()
        federation.submit()

        def holds(node):
            return {hold.leaf: hold.state for hold in of(federation, node, Hold)}

        await gb.until(lambda: list(holds("gb").values()) == ["OPEN", "OPEN"], "two holds")
        one, other = holds("gb")
        update = Wanted(values={"title": "more"}, tlp=Tlp.CLEAR, stage=Stage.UPDATE, follows=one)
        update = await gb.issue.issue(update, SCHEMA)
        await gb.until(lambda: holds("gb") == holds("jp") == dict.fromkeys([one, other, update], "OPEN"), "three")
        [hold] = [hold for hold in of(federation, "gb", Hold) if hold.leaf == update]
        async with gb.store.begin() as tx:
            await answer_hold(tx, hold, approve=False, officer="amy", reason="no", now_ms=0)
        gone = Wanted(values={"title": "gone"}, tlp=Tlp.CLEAR, stage=Stage.RETRACTION, follows=update)
        gone = await gb.issue.issue(gone, SCHEMA)
        stopped = {one: "SUPERSEDED", other: "OPEN", gone: "OPEN"}
        await gb.until(lambda: holds("gb") == stopped | {update: "REFUSED"}, "gb asks only for what may still go out")
        await gb.until(lambda: holds("jp") == stopped | {update: "SUPERSEDED"}, "and so does jp")
        [hold] = [hold for hold in of(federation, "jp", Hold) if hold.leaf == one]
        async with jp.store.begin() as tx:
            with pytest.raises(InputError, match="retracted"):
                await answer_hold(tx, hold, approve=True, officer="ken", reason="late", now_ms=0)

    warped(story())
