"""The rules that no policy can override, and what a policy means, over generated policies and questions."""

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.property.policy_cases import (
    AUDIENCES,
    NAMES,
    PARTIES,
    SCHEMA,
    dice,
    knowing_less,
    otherwise,
    policy_text,
    question,
    random_dice,
)

from tocsin.flow.decide import UNREADABLE, WITHHELD, Decision, Why, decide
from tocsin.policy import invariants
from tocsin.policy.evaluate import Prospect, facts_of
from tocsin.wire.header import Stage, Tlp
from tocsin.wire.hop import NEVER, AudienceKind, Code, encode_body
from tocsin.wire.keys import PartyKind

EXAMPLES = settings(max_examples=150, deadline=None)
SEEDS = range(3_000)
"""Enough for every invariant to be missed when it is off; the first that shows it ends the search."""


def bits(mask):
    return [i for i in range(len(NAMES)) if mask >> i & 1]


# ---- what no policy can override, said again without the code that is tested


def may_be_sent(q, found):
    """Every stop of design 3, as a plain reading of PROTOCOL 3 and DESIGN 3."""
    policy, body = q.policy, found.body
    assert policy is not None
    assert q.header.schema.startswith("test/1.")
    assert policy.effective_minute <= body.minute
    assert len(q.chain) < 8
    releasers = [hop.releaser for hop in q.chain]
    assert q.node not in releasers
    assert not any(q.parties.get(p, ("",))[0] == PartyKind.LAB for p in [q.node, *releasers])
    if not q.chain:
        assert q.header.origin == q.node
    else:
        last = q.chain[-1]
        assert last.kind is not AudienceKind.COMMUNITY
        assert last.kind is AudienceKind.PUBLIC or last.audience == q.node
    if q.header.stage is Stage.RETRACTION and q.incident.sent and not body.mask_out:
        return
    assert body.mask_out
    named = policy.audiences[q.audience]
    if named.kind not in (AudienceKind.PUBLIC, AudienceKind.COMMUNITY):
        assert q.parties[q.audience][0].value == named.kind.value
    assert q.audience not in [q.node, *releasers]
    assert not q.incident.retracted
    assert not q.incident.forked
    assert named.accepts_exercises or not q.header.exercise
    handled(q, body)


def handled(q, body):
    """The handling table, row by row."""
    if body.tlp is Tlp.CLEAR:
        return
    if body.tlp is Tlp.GREEN:
        assert body.kind is not AudienceKind.PUBLIC
        return
    if q.chain:
        assert body.tlp is Tlp.AMBER
        assert len(q.chain) == 1
        assert body.kind is AudienceKind.AUTHORITY
        assert q.parties[q.audience][1] == q.parties[q.node][1]
    assert body.kind in (AudienceKind.MEMBER, AudienceKind.AUTHORITY, AudienceKind.BODY)


def within_the_copy(q, found):
    """Only readable slots of the chain continued, within earlier limits and an officer's withholding."""
    officer = set(bits(q.officer_withheld))
    for i in bits(found.body.mask_out):
        assert q.slots[i] is not WITHHELD
        assert q.slots[i] is not UNREADABLE
        assert not officer & {i, *SCHEMA.coarser(i)}
        for hop in q.chain:
            for limit in hop.limits:
                binds = limit.until == NEVER or found.body.minute < limit.until
                assert not (limit.kind is found.body.kind and binds and limit.slots >> i & 1)


def tightens(q, found):
    """TLP and time never go back."""
    body = found.body
    assert body.tlp >= max([q.header.tlp, q.incident.latest_tlp, *(hop.tlp for hop in q.chain)])
    assert body.minute >= max([q.now_minute, *(hop.minute for hop in q.chain)])
    assert q.chain or body.minute >= q.header.created_day * 1_440


def corrected(q, found):
    """Whoever was sent a revision is sent the retraction, wherever a policy is in force and the chain goes on."""
    if q.header.stage is Stage.RETRACTION and q.incident.sent and not isinstance(found, Decision):
        assert found.why in (Why.POLICY, Why.CHAIN)


def reasoned(q, found):
    """Reasons cover what is withheld; the wire takes the body; an empty mask says nothing."""
    body = found.body
    encode_body(body, len(NAMES))
    withheld = 0
    for why in body.reasons:
        assert not withheld & why.slots
        withheld |= why.slots
        assert why.until > body.minute if why.code is Code.EMBARGOED else why.until == 0
        for i in bits(why.slots):
            assert why.code is not Code.COARSENED or any(body.mask_out >> c & 1 for c in SCHEMA.coarser(i))
            assert q.slots[i] is not UNREADABLE or (why.code, why.rule) == (Code.WITHHELD, "")
    assert withheld == q.mask_in & ~body.mask_out
    if not body.mask_out:
        assert all((why.code, why.rule) == (Code.WITHHELD, "") for why in body.reasons)


def limited(q, found):
    """Relays ask first for single readers, and are no faster with groups than the releaser is with its own."""
    body, policy = found.body, q.policy
    if body.kind in (AudienceKind.PUBLIC, AudienceKind.COMMUNITY):
        assert body.limits == ()
        return
    for kind in AudienceKind:
        for i in bits(body.mask_out & ~policy.onward.get(kind, 0)):
            until = next((e.until for e in body.limits if e.kind is kind and e.slots >> i & 1), body.minute)
            if kind in (AudienceKind.MEMBER, AudienceKind.AUTHORITY, AudienceKind.BODY):
                assert until == NEVER
            elif until != NEVER:
                own = policy.audiences_of(kind)
                assert own
                assert all(Prospect(q, facts_of(q), name, kind).given(until) >> i & 1 for name in own)


def tells_no_more(dice, q, found):
    """Two reports that differ only in what is neither disclosed nor revealed make the same hop."""
    body = found.body
    if not body.mask_out:
        return  # whoever is told nothing may infer nothing from it; a correction alone says that it is one
    revealed = 0
    for rule in q.policy.rules:
        revealed |= rule.reveals
    other = decide(otherwise(dice, q, body.mask_out | revealed))
    assert isinstance(other, Decision)
    assert other.body == body


def explained(q, found):
    """The first reason why nothing is sent is the one that is said: an audience that is not named comes before the rest."""
    if list(Why).index(found.why) > list(Why).index(Why.AUDIENCE):
        assert q.audience in q.policy.audiences


LAWS = (may_be_sent, within_the_copy, tightens, reasoned, limited)


def check(dice):
    q = question(dice, policy_text(dice))
    found = decide(q)
    corrected(q, found)
    if isinstance(found, Decision):
        for law in LAWS:
            law(q, found)
        tells_no_more(dice, q, found)
    else:
        explained(q, found)


@EXAMPLES
@given(dice())
def test_no_policy_overrides_the_rules_of_the_design(dice):
    check(dice)


@pytest.mark.parametrize(
    ("table", "name"),
    [pytest.param(table, name, id=name) for table in invariants.TABLES for name in table],
)
def test_without_any_one_rule_some_property_fails(table, name):
    whole = dict(table)
    del table[name]
    try:
        noticed = next((seed for seed in SEEDS if fails(seed)), None)
    finally:
        table.clear()  # in the order in which it was: the first stop counts
        table.update(whole)
    assert noticed is not None, f"nothing notices that {name!r} is off"
    check(random_dice(noticed))


def fails(seed):
    try:
        check(random_dice(seed))
    except (AssertionError, KeyError, ValueError):
        return True
    return False


# ---- what a policy means


@EXAMPLES
@given(dice(), st.randoms(use_true_random=False))
def test_the_meaning_of_a_policy_does_not_depend_on_the_order_of_its_text(dice, shuffle):
    text = policy_text(dice)
    q = question(dice, text)
    turned = replace(text, rules=list(text.rules), audiences=_shuffled(shuffle, text.audiences))
    shuffle.shuffle(turned.rules)
    for rule in turned.rules:
        for items in (rule.to, rule.fields, rule.reveals):
            shuffle.shuffle(items)
        rule.when = _shuffled(shuffle, rule.when)
    found = decide(q)
    again = decide(replace(q, policy=turned.policy() if q.policy else None))
    if isinstance(found, Decision):
        assert isinstance(again, Decision)
        assert replace(again.body, policy=found.body.policy) == found.body
    assert (again.next, again.open_holds) == (found.next, found.open_holds)


def _shuffled(shuffle, table):
    items = list(table.items())
    shuffle.shuffle(items)
    return dict(items)


@EXAMPLES
@given(dice())
def test_who_was_asked_about_before_changes_nothing_for_an_audience(dice):
    q = question(dice, policy_text(dice))
    kept = {name: dice.pick(range(1, 1 << len(NAMES))) for name in dice.some(list(AUDIENCES), 3)}
    q = replace(q, officer_withheld_elsewhere=kept if dice.chance(30) else {})
    for audience in [*AUDIENCES, "nobody", q.audience]:
        after_others = q.to(audience, sent=dice.chance(30))
        assert decide(after_others) == decide(replace(after_others))
        assert after_others.shared is q.shared


@EXAMPLES
@given(dice())
def test_knowing_less_never_releases_more_nor_sooner_nor_with_looser_limits(dice):
    q = question(dice, policy_text(dice))
    less = knowing_less(dice, q)
    if q.policy is None:
        return
    more_given, less_given = (Prospect(x, facts_of(x), q.audience, q.kind) for x in (q, less))
    start = invariants.hop_minute(q)
    for minute in [start, *more_given.times(start)]:
        assert not less_given.given(minute) & ~more_given.given(minute)
    found, fewer = decide(q), decide(less)
    if not isinstance(fewer, Decision):
        return
    assert isinstance(found, Decision)
    assert not fewer.body.mask_out & ~found.body.mask_out
    for i in bits(fewer.body.mask_out):
        assert all(_until(fewer, kind, i) >= _until(found, kind, i) for kind in AudienceKind)


def _until(found, kind, slot):
    return next((e.until for e in found.body.limits if e.kind is kind and e.slots >> slot & 1), 0)


@EXAMPLES
@given(dice())
def test_next_is_the_first_minute_at_which_time_alone_changes_the_mask(dice):
    q = question(dice, policy_text(dice))
    found = decide(q)
    start = invariants.hop_minute(q)
    until = found.next if found.next is not None else start + 30 * 1_440
    probes = random.Random(1).sample(range(start, max(until, start + 1)), k=min(20, max(until - start, 1)))
    for minute in [*probes, max(until - 1, start)]:
        assert _mask(decide(replace(q, now_minute=minute))) == _mask(found)
    if found.next is not None:
        assert found.next > start
        assert _mask(decide(replace(q, now_minute=found.next))) != _mask(found)


def _mask(found):
    return found.body.mask_out if isinstance(found, Decision) else None


@EXAMPLES
@given(dice())
def test_an_embargo_that_is_told_is_kept_to_the_minute_or_sooner(dice):
    """What EMBARGOED says comes from knowing less, so the slot is there by that minute, if nothing but time changes."""
    q = question(dice, policy_text(dice))
    found = decide(q)
    if isinstance(found, Decision):
        for why in found.body.reasons:
            if why.code is Code.EMBARGOED:
                later = decide(replace(q, now_minute=why.until))
                assert not why.slots & ~_mask(later)


def test_the_generator_reaches_decisions_and_every_reason_for_nothing():
    found = [decide(question(d, policy_text(d))) for d in map(random_dice, range(1_000))]
    assert {f.why for f in found if not isinstance(f, Decision)} == set(Why)
    assert sum(isinstance(f, Decision) for f in found) > 150
    assert {why.code for f in found if isinstance(f, Decision) for why in f.body.reasons} == set(Code)
    assert PARTIES["jp"][0] is PartyKind.MEMBER
