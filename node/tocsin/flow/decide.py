"""Decide what one audience gets of one report, and why. The only maker of a `Decision`, hence the only way out.

1. the minute: the hop's own
2. the mask: what the policy gives at that minute, within what no policy can override
3. a stop: the first reason why nothing is sent; a correction overrides all but the first two kinds
4. the words beside the mask: reasons and limits, from what the reader is told anyway
5. the next minute at which by time alone the mask differs
"""

from __future__ import annotations

from dataclasses import InitVar, dataclass, replace
from typing import Final, NamedTuple

from tocsin.policy import attest
from tocsin.policy.conditions import UNREADABLE, WITHHELD
from tocsin.policy.evaluate import Prospect, facts_of, is_endless
from tocsin.policy.explain import FieldLine, explain_fields
from tocsin.policy.invariants import STOPS, UNCORRECTABLE, Stop, Why, binding_tlp, hop_minute, is_correction
from tocsin.policy.question import Incident, Question
from tocsin.policy.rules import Effect, Policy
from tocsin.wire.hop import MAX_BODY, NEVER, HopBody, Limit, PolicyRef, WhyNot, encode_body

__all__ = [
    "UNREADABLE",
    "WITHHELD",
    "Decision",
    "Explanation",
    "Incident",
    "Nothing",
    "Question",
    "Why",
    "decide",
    "explain",
]


class _Gate:
    """What only this file has."""


_GATE: Final = _Gate()


@dataclass(frozen=True)
class Decision:
    """One audience gets this hop. `body` is complete; `mask_in` are the slots of the copy.

    `next`: the first later minute at which by time alone the mask differs. `open_holds`: the rules whose hold awaits an
    officer's answer and keeps something back that would otherwise be given, now or later.
    """

    audience: str
    body: HopBody
    mask_in: int
    next: int | None
    open_holds: tuple[str, ...]
    gate: InitVar[_Gate]

    def __post_init__(self, gate: _Gate) -> None:
        if gate is not _GATE:
            raise TypeError("only decide() makes a Decision")


@dataclass(frozen=True)
class Nothing:
    """Nothing is sent, because of `why`; `next` and `open_holds` as in a `Decision`."""

    why: Why
    next: int | None
    open_holds: tuple[str, ...] = ()


def decide(q: Question) -> Decision | Nothing:
    """What the audience gets of the report at its hop's minute."""
    minute = hop_minute(q)
    stops = tuple([stop for stop in STOPS.values() if stop.varies or stop.applies(q, minute, 0)])
    sort = _sort(q, stops)
    answer: _Answer | None = q.shared.answers.get(sort)
    if answer is None:
        answer = q.shared.answers[sort] = _answer(q, stops, minute)
    if isinstance(answer.found, Why):
        return Nothing(answer.found, answer.next, answer.open_holds)
    return Decision(
        q.audience, _body(q, answer, answer.found, minute), q.mask_in, answer.next, answer.open_holds, _GATE
    )


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision and, for each field, which rule gave or took it."""

    outcome: Decision | Nothing
    fields: tuple[FieldLine, ...]


def explain(q: Question) -> Explanation:
    """The very decision of the release, with its reasons in full; for officers, not for the wire."""
    return Explanation(decide(q), explain_fields(q))


class _Answer(NamedTuple):
    """What all audiences of one sort get, whatever their names; the rest as in a `Decision`."""

    found: int | Why
    next: int | None
    open_holds: tuple[str, ...]
    limits: tuple[Limit, ...]
    reasons: tuple[WhyNot, ...]


def _sort(q: Question, stops: tuple[Stop, ...]) -> tuple[object, ...]:
    """All that an answer depends on besides the report, its minute and the policy: its kind, what officers said, its rules."""
    rules = q.policy.rules_for.get(q.audience, ()) if q.policy else ()
    answered = frozenset((rule, said) for (rule, whose), said in q.approvals.items() if whose == q.audience)
    ids = [rule.id for rule in rules]
    return (q.kind, stops, is_correction(q), q.officer_withholds(q.audience), answered, *ids)


def _answer(q: Question, stops: tuple[Stop, ...], minute: int) -> _Answer:
    case = _Case(q, stops)
    found = case.outcome(minute)
    later = case.next(minute, found)
    if isinstance(found, Why):
        holds = _open_holds(q, case.prospect, minute) if found is Why.NO_SLOT else ()
        return _Answer(found, later, holds, (), ())
    policy, told = _policy_of(q), attest.what_is_told(case.prospect, found, minute)
    limits = attest.limits(q, policy, found, minute, told)
    reasons = attest.reasons(q, policy, case.prospect.told(told), found, minute)
    return _Answer(found, later, _open_holds(q, case.prospect, minute), limits, reasons)


class _Case:
    """A question with what does not change with time."""

    def __init__(self, q: Question, stops: tuple[Stop, ...]) -> None:
        self.prospect = Prospect(q, facts_of(q), q.audience, q.kind)
        self._q = q
        self._is_correction = is_correction(q)
        self._stops = stops

    def outcome(self, minute: int) -> int | Why:
        """The mask that is sent at that minute, or why nothing is."""
        mask = self.prospect.given(minute)
        stopped = next((stop.why for stop in self._stops if stop.applies(self._q, minute, mask)), None)
        if stopped is None:
            return mask
        if self._is_correction and stopped not in UNCORRECTABLE:
            return 0
        return stopped

    def next(self, minute: int, found: int | Why) -> int | None:
        """The first later minute at which by time alone the mask differs; nothing and an empty mask do."""
        policy = self._q.policy
        times = {*self.prospect.times(minute), policy.effective_minute if policy else 0}
        now = None if isinstance(found, Why) else found
        for time in sorted(time for time in times if minute < time < NEVER):
            later = self.outcome(time)
            if (None if isinstance(later, Why) else later) != now:
                return time
        return None


def _policy_of(q: Question) -> Policy:
    if q.policy is None:
        raise AssertionError("the first stop is that there is no policy")
    return q.policy


def _body(q: Question, answer: _Answer, mask_out: int, minute: int) -> HopBody:
    policy = _policy_of(q)
    body = HopBody(
        releaser=q.node,
        prev=q.prev,
        mask_out=mask_out,
        tlp=binding_tlp(q),
        kind=q.kind,
        audience=q.audience,
        limits=answer.limits,
        policy=PolicyRef(policy.id, policy.version, policy.sha256),
        reasons=answer.reasons,
        minute=minute,
    )
    return _shortened(q, body)


def _shortened(q: Question, body: HopBody) -> HopBody:
    """A body that the wire can hold: first without rule names, then without minutes."""
    if _fits(q, body):
        return body
    body = replace(body, reasons=attest.without_rule_names(body.reasons))
    if _fits(q, body):
        return body
    reasons = attest.without_minutes(q, body.mask_out, body.reasons)
    return replace(body, reasons=reasons, limits=attest.for_ever(body.limits))


def _fits(q: Question, body: HopBody) -> bool:
    n = len(q.slots)
    if _size_at_most(body, n) <= MAX_BODY:
        return True
    try:
        return len(encode_body(body, n)) <= MAX_BODY
    except ValueError:  # encode_body refuses what is too long
        return False


def _size_at_most(body: HopBody, n: int) -> int:
    """A bound without encoding: nearly every body is far below the limit."""
    mask = (n + 7) // 8 + 2
    entries = sum(mask + 8 + len(why.rule) for why in body.reasons) + len(body.limits) * (mask + 6)
    texts = len(body.releaser) + len(body.audience) + len(body.policy.id)
    return 128 + texts + mask + entries


def _open_holds(q: Question, prospect: Prospect, minute: int) -> tuple[str, ...]:
    """The matching holds that await an officer's answer and keep back something that rules grant."""
    standing = prospect.standing(minute)
    granted = prospect.passing(minute)
    wanted = 0
    for _, fields in standing.grants:
        wanted |= fields & granted
    for rule in standing.matching:
        if rule.effect is Effect.FOREVER:
            wanted &= ~rule.fields
    return tuple(
        rule.id
        for rule in standing.matching
        if rule.effect is Effect.HOLD
        and is_endless(q, rule, q.audience)
        and (rule.id, q.audience) not in q.approvals
        and rule.fields & wanted
    )
