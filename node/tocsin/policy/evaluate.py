"""What a policy gives one audience, and from which minute (design 4, "The meaning does not depend on the order of rules").

A field is disclosed from max(earliest grant, latest embargo) over the matching rules that name it, if a grant is among
them and no restriction without end.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from tocsin.policy.conditions import Facts, Truth
from tocsin.policy.invariants import EVERY_SLOT, binding_tlp, may_pass
from tocsin.policy.question import Question
from tocsin.policy.rules import Effect, Rule
from tocsin.wire.hop import NEVER, AudienceKind

Sight = Callable[[Rule], int]
"""The slots that the condition of a rule may look at."""


def everything(_rule: Rule) -> int:
    """The sight of the release itself: all that the invariants let pass."""
    return EVERY_SLOT


def facts_of(q: Question) -> Facts:
    """What conditions may look at of the header."""
    return Facts(q.header.origin, q.header.stage, binding_tlp(q), q.header.exercise)


@dataclass(frozen=True, slots=True)
class Standing:
    """The rules for one audience as their conditions stand. `fields` of each rule as in the rule.

    `grants` and `embargoes`: (minute, fields). `endless`: what restrictions without end take, open holds included.
    `true`: the rules whose condition is true (not unknown), by id.
    """

    grants: tuple[tuple[int, int], ...]
    embargoes: tuple[tuple[int, int], ...]
    endless: int
    matching: tuple[Rule, ...]
    true: tuple[Rule, ...]

    def given(self, minute: int) -> int:
        """The fields that are given at that minute."""
        given = 0
        for begins, fields in self.grants:
            if begins <= minute:
                given |= fields
        for ends, fields in self.embargoes:
            if minute < ends:
                given &= ~fields
        return given & ~self.endless


def is_endless(q: Question, rule: Rule, audience: str) -> bool:
    """A restriction for ever, or a hold that no officer has approved for this audience."""
    held = rule.effect is Effect.HOLD and not q.approvals.get((rule.id, audience), False)
    return held or rule.effect is Effect.FOREVER


class Prospect:
    """What one audience is given of the report at each minute, as far as the conditions may look."""

    def __init__(self, q: Question, facts: Facts, audience: str, kind: AudienceKind, sight: Sight = everything) -> None:
        """`sight` narrows what conditions look at, beyond what the invariants let pass."""
        self._q = q
        self._facts = facts
        self._audience = audience
        self._kind = kind
        self._sight = sight
        self._rules = q.policy.rules_for.get(audience, ()) if q.policy else ()
        self._untils = sorted([e.until for hop in q.chain for e in hop.limits if e.kind is kind and e.until < NEVER])
        self._standings: dict[int, Standing] = {}
        self._passing: dict[int, int] = {}

    def given(self, minute: int) -> int:
        """The slots that are given at that minute."""
        passing = self.passing(minute)
        return self._standing(passing).given(minute) & passing

    def passing(self, minute: int) -> int:
        """The slots that the invariants let pass at that minute; it changes only where limits of earlier hops end."""
        key = bisect_right(self._untils, minute)
        if key not in self._passing:
            self._passing[key] = may_pass(self._q, self._audience, self._kind, minute)
        return self._passing[key]

    def standing(self, minute: int) -> Standing:
        """The rules as they stand at that minute."""
        return self._standing(self.passing(minute))

    def told(self, sight: Sight) -> Prospect:
        """The prospect as far as `sight` goes; this very one where no condition could look further anyway."""
        known = self._q.known
        if not any(rule.condition.looks_at & known & ~sight(rule) for rule in self._rules if rule.condition.slots):
            return self
        return Prospect(self._q, self._facts, self._audience, self._kind, sight)

    def times(self, after: int) -> list[int]:
        """The minutes later than `after` at which by time alone something may change, in order."""
        return [minute for minute in self._changes if after < minute < NEVER]

    @cached_property
    def _changes(self) -> list[int]:
        timed = [rule for rule in self._rules if rule.effect is Effect.GRANT or rule.effect is Effect.EMBARGO]
        return sorted({*map(self._q.moment, timed), *self._untils})

    def _standing(self, passing: int) -> Standing:
        """Only what is seen decides how the rules stand, so one standing serves all minutes that see the same."""
        found = self._standings.get(passing)
        if found is None:
            found = self._standings[passing] = self._judge(passing)
        return found

    def _judge(self, passing: int) -> Standing:
        """Unknown never satisfies a grant and always satisfies a restriction."""
        q, seen = self._q, passing & self._q.known
        grants, embargoes, endless = [], [], 0
        matching, true = [], []
        for rule in self._rules:
            condition = rule.condition
            if condition.slots:
                truth = condition.truth(self._facts, q.slots, seen & self._sight(rule))
            else:
                truth = condition.truth(self._facts, q.slots, 0)
            if truth is Truth.FALSE or (truth is Truth.UNKNOWN and rule.effect is Effect.GRANT):
                continue
            matching.append(rule)
            if truth is Truth.TRUE:
                true.append(rule)
            if rule.effect is Effect.GRANT:
                grants.append((q.moment(rule), rule.fields))
            elif rule.effect is Effect.EMBARGO:
                embargoes.append((q.moment(rule), rule.fields))
            elif is_endless(q, rule, self._audience):
                endless |= rule.fields
        return Standing(tuple(grants), tuple(embargoes), endless, tuple(matching), tuple(true))


def since(prospects: Iterable[Prospect], slots: int, minute: int) -> Iterator[tuple[int, int]]:
    """(minute, slots): from that minute on, all the prospects give these of the slots; NEVER for those they never do.

    Nothing before `minute` is asked: what is given then comes under it. Without any prospect all is NEVER.
    """
    prospects = tuple(prospects)
    if not prospects:
        if slots:
            yield NEVER, slots
        return
    later = {time for prospect in prospects for time in prospect.times(minute)}
    times = [minute, *sorted(later)]
    lasting = slots
    given = []
    for time in reversed(times):
        for prospect in prospects:
            lasting &= prospect.given(time)
        given.append((time, lasting))
    before = 0
    for time, lasting in reversed(given):
        if lasting & ~before:
            yield time, lasting & ~before
        before = lasting
    if slots & ~before:
        yield NEVER, slots & ~before
