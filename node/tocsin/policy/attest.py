"""What a hop says beside its mask: why slots were withheld, and what is asked of relays (design 3).

Both follow from one evaluation whose conditions look only at what the reader is told anyway.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tocsin.policy.evaluate import Prospect, Sight, facts_of, is_endless, since
from tocsin.policy.fields import every
from tocsin.policy.invariants import asks_of, says_nothing, sight
from tocsin.policy.question import Question
from tocsin.policy.rules import Effect, Policy, Rule
from tocsin.wire.hop import NEVER, AudienceKind, Code, Limit, WhyNot

_KINDS: Final = tuple(AudienceKind)


def what_is_told(prospect: Prospect, mask_out: int, minute: int) -> Sight:
    """The slots of mask_out, and what a rule reveals as far as this reader may be shown it now.

    A slot that an earlier hop's limits keep from this reader is not revealed to it either.
    """
    showable = prospect.passing(minute)

    def told(rule: Rule) -> int:
        return sight(mask_out, rule.reveals & showable)

    return told


def reasons(q: Question, policy: Policy, prospect: Prospect, mask_out: int, minute: int) -> tuple[WhyNot, ...]:
    """Why each slot of mask_in is not in mask_out; `prospect` as the reader is told it."""
    withheld = q.mask_in & ~mask_out
    if says_nothing(mask_out):
        return _entries({(Code.WITHHELD, 0, ""): withheld})
    explicable = withheld & q.readable & every(policy.schema)
    groups = {(Code.WITHHELD, 0, ""): withheld & ~explicable}
    standing = prospect.standing(minute)
    coarsened = q.schema.finer_than(mask_out) & ~mask_out
    for until, slots in since([prospect], explicable, minute):
        if minute < until < NEVER:
            named = [rule for rule in standing.true if _has_moment(q, rule, until)]
            parts = [(Code.EMBARGOED, until, slots)]
        else:
            named = [rule for rule in standing.true if is_endless(q, rule, q.audience)]
            parts = [(Code.COARSENED, 0, slots & coarsened), (Code.WITHHELD, 0, slots & ~coarsened)]
        for code, end, part in parts:
            for rule_id, share in _shares(named, part):
                key = (code, end, rule_id)
                groups[key] = groups.get(key, 0) | share
    return _entries(groups)


def limits(q: Question, policy: Policy, mask_out: int, minute: int, told: Sight) -> tuple[Limit, ...]:
    """What is asked of whoever relays further, per kind; a hop to a group asks nothing."""
    if not q.kind.one_reader:
        return ()
    asked, facts = [], facts_of(q)
    for kind in _KINDS:
        slots = mask_out & ~policy.onward.get(kind, 0)
        if not slots or not asks_of(kind):
            continue
        names = () if kind.one_reader else policy.audiences_of(kind)
        prospects = [Prospect(q, facts, name, kind, told) for name in names]
        asked += [Limit(kind, part, until) for until, part in since(prospects, slots, minute) if until > minute]
    return tuple(asked)


def without_rule_names(found: tuple[WhyNot, ...]) -> tuple[WhyNot, ...]:
    """The same reasons in fewer entries."""
    groups: dict[tuple[Code, int, str], int] = {}
    for why in found:
        groups[why.code, why.until, ""] = groups.get((why.code, why.until, ""), 0) | why.slots
    return _entries(groups)


def without_minutes(q: Question, mask_out: int, found: tuple[WhyNot, ...]) -> tuple[WhyNot, ...]:
    """EMBARGOED becomes COARSENED or WITHHELD, without rule names."""
    coarsened = q.schema.finer_than(mask_out)
    groups = {(Code.COARSENED, 0, ""): 0, (Code.WITHHELD, 0, ""): 0}
    for why in found:
        if why.code is not Code.WITHHELD:
            groups[Code.COARSENED, 0, ""] |= why.slots & coarsened
        groups[Code.WITHHELD, 0, ""] |= why.slots if why.code is Code.WITHHELD else why.slots & ~coarsened
    return _entries(groups)


def for_ever(found: tuple[Limit, ...]) -> tuple[Limit, ...]:
    """The same limits without a minute at which they end."""
    slots: dict[AudienceKind, int] = {}
    for limit in found:
        slots[limit.kind] = slots.get(limit.kind, 0) | limit.slots
    return tuple(Limit(kind, slots[kind], NEVER) for kind in AudienceKind if kind in slots)


def _has_moment(q: Question, rule: Rule, minute: int) -> bool:
    return (rule.effect is Effect.GRANT or rule.effect is Effect.EMBARGO) and q.moment(rule) == minute


def _shares(named: list[Rule], slots: int) -> Iterator[tuple[str, int]]:
    """Each slot under the smallest id among the rules that name it, or under ""."""
    for rule in named:  # by id
        if share := slots & rule.fields:
            yield rule.id, share
            slots &= ~share
    if slots:
        yield "", slots


def _entries(groups: dict[tuple[Code, int, str], int]) -> tuple[WhyNot, ...]:
    return tuple(WhyNot(slots, code, until, rule) for (code, until, rule), slots in sorted(groups.items()) if slots)
