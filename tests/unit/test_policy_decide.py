"""One gate: only `decide` makes a decision; and what it says to officers."""

import copy
from dataclasses import replace

import pytest
from tests.property.policy_cases import NAMES, PARTIES, SCHEMA, Head, PolicyText, RuleText

from tocsin.flow.decide import UNREADABLE, WITHHELD, Decision, Incident, Nothing, Question, Why, decide, explain
from tocsin.flow.vector import run_policy_vector
from tocsin.wire.header import Stage, Tlp
from tocsin.wire.hop import EMPTY, NEVER, AudienceKind, HopBody, Limit, encode_body

START = 20_000
RULES = [
    RuleText("give", ["*"], "disclose", ["*"]),
    RuleText("later", ["*"], "withhold", ["severity"], 'embargo = "P1D"'),
    RuleText("hold", ["ke"], "withhold", ["title"], "hold = true", {"critical": "true"}, ["critical"]),
]


def ask(**changes):
    values = {"title": "t", "severity": 5, "band": "HIGH", "critical": None}
    plain = Question(
        policy=PolicyText(RULES, [], {}).policy(),
        node="jp",
        audience="ke",
        parties=PARTIES,
        header=Head("jp", Stage.INITIAL, Tlp.CLEAR, exercise=False),
        schema=SCHEMA,
        slots=tuple(values.get(name, WITHHELD) for name in NAMES),
        chain=(),
        prev=b"\1" * 32,
        incident=Incident(),
        now_minute=START,
        first_accepted_minute=START,
    )
    return replace(plain, **changes)


def received(*limits):
    return (HopBody("gb", bytes(32), 0, Tlp.CLEAR, AudienceKind.MEMBER, "jp", limits, EMPTY, (), START),)


def test_nothing_but_decide_makes_a_decision():
    found = decide(ask())
    assert isinstance(found, Decision)
    with pytest.raises(TypeError):
        Decision(found.audience, found.body, found.mask_in, None, ())
    with pytest.raises(TypeError, match="only decide"):
        Decision(found.audience, found.body, found.mask_in, None, (), gate=object())
    with pytest.raises((TypeError, ValueError)):
        replace(found, audience="public")
    assert copy.copy(found) == found


def test_the_body_is_complete_and_fits_the_wire():
    found = decide(ask())
    assert found.body.prev == b"\1" * 32
    assert (found.body.releaser, found.body.audience, found.body.policy.id) == ("jp", "ke", "p")
    assert encode_body(found.body, len(NAMES))


def test_a_hold_is_open_while_it_matches_is_not_answered_and_keeps_something_back():
    assert decide(ask()).open_holds == ("hold",)
    assert decide(ask(approvals={("hold", "ke"): True})).open_holds == ()
    assert decide(ask(approvals={("hold", "ke"): False})).open_holds == ()
    assert decide(ask(audience="gb")).open_holds == ()
    nothing_to_give = PolicyText([RULES[1], RULES[2]], [], {}).policy()
    assert decide(ask(policy=nothing_to_give)).open_holds == ()


def test_a_hold_on_everything_is_open_although_nothing_is_sent():
    rules = [RULES[0], RuleText("all", ["*"], "withhold", ["*"], "hold = true")]
    found = decide(ask(policy=PolicyText(rules, [], {}).policy()))
    assert found == Nothing(Why.NO_SLOT, None, ("all",))


def test_an_officer_withholds_with_the_finer_rungs_and_never_gives_more():
    band = 1 << SCHEMA.index("band")
    found = decide(ask(officer_withheld=band, now_minute=START + 9_999))
    assert not found.body.mask_out & (band | 1 << SCHEMA.index("severity"))
    assert not decide(ask(officer_withheld=band)).body.mask_out & ~decide(ask()).body.mask_out


def test_what_an_officer_withholds_from_the_own_public_is_kept_from_others_public():
    title = SCHEMA.index("title")
    plain, asked = (
        decide(ask(audience="gb", officer_withheld_elsewhere=elsewhere)).body.limits
        for elsewhere in ({}, {"public": 1 << title})
    )
    assert not any(e.kind is AudienceKind.PUBLIC and e.slots >> title & 1 for e in plain)
    assert any(e.kind is AudienceKind.PUBLIC and e.slots >> title & 1 for e in asked)


ALIKE = [RuleText("give", ["*"], "disclose", ["*"]), RuleText("hold", ["*"], "withhold", ["title"], "hold = true")]


@pytest.mark.parametrize(
    ("changes", "other"),
    [
        pytest.param({"officer_withheld_elsewhere": {"gb": 1 << SCHEMA.index("critical")}}, "gb", id="an officer"),
        pytest.param({"approvals": {("hold", "gb"): True}}, "gb", id="an approved hold"),
        pytest.param({"approvals": {("hold", "gb"): False}}, "gb", id="a refused hold"),
        pytest.param(
            {"chain": received(Limit(AudienceKind.BODY, 1 << SCHEMA.index("severity"), NEVER))},
            "world",
            id="limits of a kind",
        ),
    ],
)
def test_audiences_with_the_same_rules_share_no_answer_where_anything_else_tells_them_apart(changes, other):
    first = ask(policy=PolicyText(ALIKE, [], {}).policy(), **changes)
    if first.chain:
        first = replace(first, header=Head("gb", Stage.INITIAL, Tlp.CLEAR, exercise=False))
    found, after = decide(first), decide(first.to(other, sent=False))
    assert after == decide(replace(first.to(other, sent=False)))
    told = [(one.body.mask_out, one.body.limits, one.body.reasons, one.open_holds) for one in (found, after)]
    assert told[0] != told[1]


def test_explain_says_for_each_field_which_rule_gave_or_took_it():
    found = explain(
        ask(chain=received(Limit(AudienceKind.MEMBER, 1 << SCHEMA.index("band"), START + 60)), audience="ke")
    )
    assert isinstance(found.outcome, Decision)
    lines = {line.field: line for line in found.fields}
    assert list(lines) == NAMES
    assert lines["title"].text() == (
        "title: not given, never (grant by give from minute 20000; hold by hold, its condition being unknown)"
    )
    assert lines["severity"].since == START + 1_440
    assert lines["severity"].text().endswith("embargo by later until minute 21440)")
    assert (lines["band"].barrier, lines["band"].since) == ("kept back by the limits of gb", START + 60)
    assert lines["critical"].given
    assert lines["deaths"].barrier == "not in this copy"


def test_explain_names_what_no_policy_overrides():
    slots = list(ask().slots)
    slots[SCHEMA.index("title")] = UNREADABLE
    found = explain(ask(slots=tuple(slots), chain=received(), officer_withheld=1 << SCHEMA.index("band")))
    barriers = {line.field: line.barrier for line in found.fields}
    assert barriers["title"] == "cannot be read by the schemas known here"
    assert barriers["severity"] == "withheld by an officer"


def test_without_a_policy_there_is_nothing_to_explain():
    found = explain(ask(policy=None))
    assert (found.outcome, found.fields) == (Nothing(Why.POLICY, None), ())


def test_what_a_vector_leaves_out_is_empty():
    """An absent slot is a null, an absent incident says nothing, an absent list has no member."""
    made = {
        "policy": PolicyText(RULES, [], {}, audiences={"ke": "MEMBER"}).text().replace('["gb", "jp", "ke"]', '["ke"]'),
        "schemas": {"test/1.0": SCHEMA.text.decode()},
        "node": "jp",
        "audience": "ke",
        "parties": {"ke": ["MEMBER", "KE"]},
        "report": {
            "header": {"origin": "jp", "stage": "FINAL", "tlp": "GREEN", "exercise": False, "schema": "test/1.0"}
        },
        "now_minute": START,
        "first_accepted_minute": START,
    }
    found = run_policy_vector(made)
    assert found["tlp"] == "GREEN"
    assert set(found["disclosed"]) == set(NAMES) - {"title", "severity"}


@pytest.mark.parametrize(("schema", "why"), [("test/0.9", "POLICY"), ("test/1.3", None), ("other/1.0", "POLICY")])
def test_a_vector_of_a_schema_that_is_not_known(schema, why):
    made = {
        "policy": PolicyText(RULES, [], {}).text(),
        "schemas": {"test/1.0": SCHEMA.text.decode(), "broken/1.0": "{"},
        "node": "jp",
        "audience": "gb",
        "parties": {"gb": ["MEMBER", "GB"]},
        "report": {
            "header": {"origin": "jp", "stage": "FINAL", "tlp": "CLEAR", "exercise": False, "schema": schema},
            "slots": {},
        },
    }
    assert run_policy_vector(made).get("nothing") == why
