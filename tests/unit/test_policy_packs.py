"""The packs are valid policies of incident/1.0, and give each country's readers what the demo shows."""

from pathlib import Path

import pytest

from tocsin.flow.decide import Decision, Incident, Question, decide
from tocsin.policy.language import parse_policy, validate
from tocsin.report.schema import load_schema
from tocsin.wire.header import Stage, Tlp
from tocsin.wire.hop import NEVER, AudienceKind, Code
from tocsin.wire.keys import PartyKind

SCHEMAS = Path(__file__).parents[2] / "schemas"
SCHEMA = load_schema("incident/1.0", (SCHEMAS / "incident/1.0/incident.avsc").read_bytes())
PACKS = ("gb", "jp", "ke")
PARTIES = {name: (PartyKind.MEMBER, name.upper()) for name in PACKS} | {
    f"{name}-regulator": (PartyKind.AUTHORITY, name.upper()) for name in PACKS
}
START = 29_530_000
VALUES = {
    "title": "t",
    "description": "d",
    "developer": ["x"],
    "countries": ["GB"],
    "regions": ["154"],
    "severity": 5,
    "severity_band": "HIGH",
    "critical_function": False,
    "root_cause": "r",
    "reproduction_steps": "s",
}


class Head:
    """A header as far as a decision reads it."""

    stage, tlp, exercise, schema, created_day = Stage.INITIAL, Tlp.CLEAR, False, "incident/1.0", 20_000

    def __init__(self, origin):
        self.origin = origin


def text(pack):
    return (SCHEMAS / "packs" / pack / "incident.toml").read_bytes()


def released(pack, audience, chain=(), origin="", **values):
    policy = parse_policy(text(pack), SCHEMA)
    slots = tuple((VALUES | values).get(field.name) for field in SCHEMA.fields)
    question = Question(
        policy, pack, audience, PARTIES, Head(origin or pack), SCHEMA, slots, chain, bytes(32), Incident(), START, START
    )
    return decide(question)


def names(mask):
    return {field.name for field in SCHEMA.fields if mask >> field.index & 1}


@pytest.mark.parametrize("pack", PACKS)
def test_a_pack_is_a_valid_policy_of_its_country(pack):
    assert validate(text(pack), SCHEMA) == []
    policy = parse_policy(text(pack), SCHEMA)
    assert (policy.id, policy.jurisdiction) == (pack, pack.upper())
    assert set(policy.audiences) >= {*PACKS, "public"} - {pack}
    assert all(rule.basis.startswith(("example", "MITRE ATLAS", "schema incident/1.0")) for rule in policy.rules)


@pytest.mark.parametrize("pack", PACKS)
def test_no_pack_gives_restricted_fields_to_the_network_or_the_public(pack):
    restricted = {field.name for field in SCHEMA.fields if field.cls == "restricted"}
    for audience in {*PACKS, "public"} - {pack}:
        found = released(pack, audience)
        if isinstance(found, Decision):
            assert not names(found.body.mask_out) & restricted


def test_gb_gives_jp_more_than_ke_and_its_public_coarser_rungs():
    jp, ke, public = (names(released("gb", to).body.mask_out) for to in ("jp", "ke", "public"))
    assert jp > ke
    assert "countries" in jp - ke
    assert {"severity_band", "regions", "occurred_month"} <= public
    assert not {"severity", "countries", "title", "developer"} & public


def test_gb_embargoes_the_cause_and_holds_what_may_touch_a_critical_function():
    found = released("gb", "jp")
    (cause,) = [why for why in found.body.reasons if why.slots >> SCHEMA.index("root_cause") & 1]
    assert (cause.code, cause.until, cause.rule) == (Code.EMBARGOED, START + 30 * 1_440, "gb-technical-embargo")
    for answer in (True, None):
        assert released("gb", "jp", critical_function=answer).open_holds == ("gb-critical-hold",)
    assert found.open_holds == ()


def test_jp_may_pass_on_what_gb_says_onward_and_tells_its_public_no_sooner_than_gb_does():
    hop = released("gb", "jp").body
    title = 1 << SCHEMA.index("title")
    assert [e.until for e in hop.limits if e.kind is AudienceKind.PUBLIC and e.slots & title] == [START + 14 * 1_440]
    onward = released("jp", "ke", (hop,), "gb")
    assert {"severity", "autonomy"} <= names(onward.body.mask_out)
    assert "title" not in names(onward.body.mask_out)
    public = released("jp", "public", (hop,), "gb")
    assert "severity_band" in names(public.body.mask_out)
    assert "title" not in names(public.body.mask_out)
    assert any(e.until == NEVER and e.kind is AudienceKind.PUBLIC for e in hop.limits)
