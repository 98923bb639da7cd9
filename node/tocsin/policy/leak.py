"""No leak by condition: what a rule tests must be told, or be seen by all who are told anything (design 4)."""

from __future__ import annotations

from collections.abc import Iterator

from tocsin.policy.fields import every
from tocsin.policy.rules import Effect, Policy, Rule


def leaks(policy: Policy) -> Iterator[tuple[Rule, str, str]]:
    """(rule, tested field, audience): what that audience could infer about the field without being shown it."""
    shown = {audience: _shown_to(policy, audience) for audience in policy.audiences}
    for rule in policy.rules:
        for test in rule.condition.slots:
            if rule.reveals >> test.slot & 1:
                continue
            for audience in sorted(rule.to):
                if not shown[audience] >> test.slot & 1:
                    yield rule, test.field, audience


def _shown_to(policy: Policy, audience: str) -> int:
    """The fields that whoever is given anything is given too.

    Every grant to the audience gives them, and no restriction takes them but one that takes every field: where that
    one applies, nothing is told at all.
    """
    everything = every(policy.schema)
    shown = everything
    for rule in policy.rules_for[audience]:
        if rule.effect is Effect.GRANT:
            shown &= rule.fields
        elif rule.fields != everything:
            shown &= ~rule.fields
    return shown
