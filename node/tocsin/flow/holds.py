"""Holds: what waits for an officer. Opened by a decision, answered by an officer, superseded where no answer counts."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from tocsin.flow.ports import Tx
from tocsin.flow.rows import OPEN, SUPERSEDED, Due, Hold, Report
from tocsin.flow.setting import Setting, minute_up
from tocsin.policy.rules import Policy

if TYPE_CHECKING:
    from tocsin.flow.facts import Facts

LEAVES_AT_ONCE = 256


def new_holds(
    setting: Setting, facts: Facts, due: Due, rules: Sequence[str], policy: Policy | None, now_ms: int
) -> Iterator[Hold]:
    """A hold that matched and is not answered goes into the officers' queue, once."""
    if policy is None:
        return
    for rule in rules:
        key = (due.leaf, policy.version, rule, due.audience)
        known = facts.holds.get(key)
        if known is None or known.state == SUPERSEDED:
            hold = Hold(*key, OPEN, now_ms, now_ms + setting.caps.hold_due_ms, "", "", 0)
            facts.holds[key] = hold
            yield hold


async def superseded(tx: Tx, setting: Setting, reports: Sequence[Report], now_ms: int) -> list[Hold]:
    """Open holds of these reports that a version asked for which is not in force: no answer to them changes anything."""
    minute = minute_up(now_ms)
    in_force = {schema: setting.policy_for(schema, minute) for schema in {report.schema for report in reports}}
    versions = {r.leaf: p.version if (p := in_force[r.schema]) else None for r in reports}
    return [
        dataclasses.replace(hold, state=SUPERSEDED, answered_ms=now_ms)
        for hold in await tx.find(Hold, {"leaf": sorted(versions)})
        if hold.state == OPEN and hold.policy_version != versions[hold.leaf]
    ]


async def retracted(tx: Tx, report: Report, now_ms: int) -> list[Hold]:
    """Open holds of the incident that a new report is the first to retract: from then on nothing of it is released."""
    if not report.retracts or await tx.count(Report, {"origin": report.origin, "retracts": report.retracts}):
        return []
    reports = await tx.find(Report, {"origin": report.origin, "incident": report.incident})
    found: list[Hold] = []
    for start in range(0, len(reports), LEAVES_AT_ONCE):  # its origin decides how many revisions an incident has
        leaves = [one.leaf for one in reports[start : start + LEAVES_AT_ONCE]]
        found += [hold for hold in await tx.find(Hold, {"leaf": leaves}) if hold.state == OPEN]
    return [dataclasses.replace(hold, state=SUPERSEDED, answered_ms=now_ms) for hold in found]
