"""Which rule gave or took each field: said on the node, in full; the wire says less (design 4)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tocsin.policy.conditions import UNREADABLE, WITHHELD
from tocsin.policy.evaluate import Prospect, Standing, facts_of, is_endless, since
from tocsin.policy.invariants import hop_minute, may_pass
from tocsin.policy.question import Question
from tocsin.policy.rules import Effect, Rule
from tocsin.wire.hop import NEVER


@dataclass(frozen=True, slots=True)
class Because:
    """One rule that names a field and matches. `sure` is false where its condition is unknown.

    `moment` is the minute at which a grant begins or an embargo ends, None where the rule has none; `answer` is that
    of a hold: "approved", "refused", or "" while it is open and for every other rule.
    """

    rule: str
    effect: Effect
    sure: bool
    moment: int | None
    answer: str
    basis: str


@dataclass(frozen=True, slots=True)
class FieldLine:
    """One field for one audience, as the policy has it at `minute`; handling and stops are the decision's.

    `given`: whether it is given now. `since`: the minute from which it is, None where time alone never gives it.
    `barrier`: what no policy overrides and keeps it back now, or "".
    """

    field: str
    given: bool
    since: int | None
    barrier: str
    because: tuple[Because, ...]

    def text(self) -> str:
        """One line for people."""
        when = "never" if self.since is None else f"from minute {self.since}"
        state = "given" if self.given else f"not given, {when}"
        rules = "; ".join(_said(because) for because in self.because) or "no rule that matches names it"
        return f"{self.field}: {state} ({self.barrier + '; ' if self.barrier else ''}{rules})"


def explain_fields(q: Question) -> tuple[FieldLine, ...]:
    """A line for every field of the schema that the report is read by, in its order; none without a policy."""
    if q.policy is None:
        return ()
    minute = hop_minute(q)
    prospect = Prospect(q, facts_of(q), q.audience, q.kind)
    standing = prospect.standing(minute)
    given = prospect.given(minute)
    every_slot = (1 << len(q.schema.fields)) - 1
    begins = dict(_moments(since([prospect], every_slot, minute)))
    return tuple(
        FieldLine(
            field=field.name,
            given=bool(given >> field.index & 1),
            since=begins.get(field.index),
            barrier=_barrier(q, field.index, minute),
            because=tuple(_because(q, standing, rule) for rule in standing.matching if rule.fields >> field.index & 1),
        )
        for field in q.schema.fields
    )


def _moments(found: Iterator[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    for minute, slots in found:
        if minute < NEVER:
            yield from ((i, minute) for i in range(slots.bit_length()) if slots >> i & 1)


def _because(q: Question, standing: Standing, rule: Rule) -> Because:
    timed = rule.effect in {Effect.GRANT, Effect.EMBARGO}
    answer = ""
    if rule.effect is Effect.HOLD and (rule.id, q.audience) in q.approvals:
        answer = "refused" if is_endless(q, rule, q.audience) else "approved"
    moment = q.moment(rule) if timed else None
    return Because(rule.id, rule.effect, rule in standing.true, moment, answer, rule.basis)


def _barrier(q: Question, slot: int, minute: int) -> str:
    value = q.slots[slot] if slot < len(q.slots) else WITHHELD
    if value is WITHHELD:
        return "not in this copy"
    if value is UNREADABLE:
        return "cannot be read by the schemas known here"
    if q.officer_withholds(q.audience) >> slot & 1:
        return "withheld by an officer"
    if not may_pass(q, q.audience, q.kind, minute) >> slot & 1:
        return "kept back by the limits of " + ", ".join(_limiting(q, slot, minute))
    return ""


def _limiting(q: Question, slot: int, minute: int) -> list[str]:
    return [
        hop.releaser
        for hop in q.chain
        if any(e.kind is q.kind and e.binds(minute) and e.slots >> slot & 1 for e in hop.limits)
    ]


def _said(because: Because) -> str:
    said = f"{because.effect.lower()} by {because.rule}"
    if because.moment is not None:
        said += f" {'from' if because.effect is Effect.GRANT else 'until'} minute {because.moment}"
    if because.answer:
        said += f", {because.answer}"
    if not because.sure:
        said += ", its condition being unknown"
    return said + (f" [{because.basis}]" if because.basis else "")
