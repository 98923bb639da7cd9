# ruff: noqa: INP001 - scripts beside their data
"""Policy vectors of conditions, two-valued and three-valued (design 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from schemas.vectors.policy_world import (
    DAY,
    KE,
    NO,
    START,
    TWO,
    WITHHELD,
    Named,
    audience,
    embargoed,
    given,
    hop,
    never,
    no,
    nothing,
    policy,
    rule,
    schema,
    vector,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

LATER = START + 10 * DAY


def conditional() -> Iterator[Named]:
    """Vectors of rules with conditions."""
    yield from conditions()
    yield from unknowns()


def conditions() -> Iterator[Named]:
    """Conditions on what is seen."""
    serious = policy(
        rule("a", disclose='["title", "severity"]', when='{ severity = ">= 4" }'), rule("b", disclose='["severity"]')
    )
    yield (
        "when-true",
        vector(
            "a grant applies where its condition is true",
            serious,
            {"title": "t", "severity": 4},
            given(["title", "severity"]),
            schemas={"test/1.0": _narrow()},
        ),
    )
    yield (
        "when-false",
        vector(
            "and not where it is false",
            serious,
            {"title": "t", "severity": 3},
            given(["severity"], {"title": NO}),
            schemas={"test/1.0": _narrow()},
        ),
    )
    header_tests = {
        "origin": ('origin = ["gb", "ke"]', {"origin": "gb"}, True),
        "origin-false": ('origin = ["ke"]', {"origin": "gb"}, False),
        "stage": ('stage = ["FINAL", "UPDATE"]', {"stage": "UPDATE"}, True),
        "stage-false": ('stage = ["FINAL"]', {"stage": "INITIAL"}, False),
        "tlp": ('tlp = "<= AMBER"', {"tlp": "AMBER"}, True),
        "tlp-false": ('tlp = "<= AMBER"', {"tlp": "AMBER_STRICT"}, False),
        "exercise": ("exercise = true", {"exercise": True}, True),
        "exercise-false": ("exercise = false", {"exercise": True}, False),
        "all": ('origin = ["gb"], exercise = false, tlp = "<= CLEAR"', {}, True),
        "not-all": ('origin = ["gb"], exercise = true', {}, False),
    }
    for name, (form, changes, holds) in header_tests.items():
        text = policy(rule("a", disclose='["title"]', when=f"{{ {form} }}"), audiences=audience("jp", exercises=True))
        tlp = changes.get("tlp", "CLEAR")
        expect = given(["title"], {"critical": NO}, tlp=tlp) if holds else nothing("NO_SLOT")
        yield f"when-{name}", vector(f"a test of the header: {form}", text, TWO, expect, header=changes)
    yield (
        "when-tlp-newest",
        vector(
            "tlp is the strictest of the chain's and that of the newest revision held",
            policy(
                rule("a", disclose='["title"]'),
                rule("b", withhold='["title"]', when='{ tlp = ">= GREEN" }'),
                rule("c", disclose='["critical"]'),
            ),
            TWO,
            given(["critical"], {"title": no("b")}, tlp="GREEN"),
            incident={"latest_tlp": "GREEN"},
        ),
    )
    for name, form, value, holds in [
        ("bound-low", 'severity = "<= 3"', {"severity": 3}, True),
        ("boolean-false", "critical = false", {"critical": False}, True),
        ("boolean-true", "critical = false", {"critical": True}, False),
        ("enum", 'mode = ["LIVE"]', {"mode": "LIVE"}, True),
        ("enum-other", 'mode = ["LIVE"]', {"mode": "TEST"}, False),
        ("array-any", 'kinds = ["LOSS", "DEATH"]', {"kinds": ["INJURY", "DEATH"]}, True),
        ("array-none", 'kinds = ["LOSS"]', {"kinds": ["INJURY"]}, False),
        ("array-empty", 'kinds = ["LOSS"]', {"kinds": []}, False),
        ("countries", 'countries = ["KE"]', {"countries": ["GB", "KE"], "regions": ["154", "202"]}, True),
        ("regions", 'regions = ["154"]', {"countries": ["KE"], "regions": ["202"]}, False),
    ]:
        yield f"test-{name}", _tested(f"{form} on a value that is seen", form, value, holds=holds)


def _narrow() -> str:
    return schema("title", "severity")


def _tested(about: str, form: str, slots: dict[str, Any], *, holds: bool, **changes: Any) -> dict[str, Any]:
    """A grant of the title that tests and reveals; a slot that is there or not shows what became of the test."""
    slots = slots | {"title": "t"}
    names = [name for name, value in slots.items() if value is not WITHHELD and value != WITHHELD]
    text = policy(rule("a", disclose='["title"]', when=f"{{ {form} }}", reveals='["*"]'))
    hidden = {name: NO for name in names if name != "title"}
    return vector(about, text, slots, given(["title"], hidden) if holds else nothing("NO_SLOT"), **changes)


def unknowns() -> Iterator[Named]:
    """Three-valued conditions: as a grant only what is surely true counts, as a restriction all but what is surely false."""
    for name, about, form, slots, true, false in [
        ("null", "a null without a rung", "critical = true", {"critical": None}, False, False),
        ("withheld", "withheld without a rung", 'mode = ["LIVE"]', {"mode": WITHHELD}, False, False),
        ("unreadable", "unreadable without a rung", 'mode = ["LIVE"]', {"mode": {"unreadable": True}}, False, False),
        (
            "array-withheld",
            "over all lists of symbols",
            'kinds = ["DEATH", "INJURY", "LOSS"]',
            {"kinds": WITHHELD},
            False,
            False,
        ),
        (
            "band-all",
            "all levels of the band pass",
            'severity = ">= 5"',
            {"severity": WITHHELD, "band": "HIGH"},
            True,
            False,
        ),
        (
            "band-none",
            "no level of the band passes",
            'severity = ">= 5"',
            {"severity": WITHHELD, "band": "MEDIUM"},
            False,
            True,
        ),
        (
            "band-some",
            "some levels of the band pass",
            'severity = ">= 6"',
            {"severity": WITHHELD, "band": "HIGH"},
            False,
            False,
        ),
        (
            "band-null-finer",
            "a null is judged by its rung as well",
            'severity = "<= 0"',
            {"severity": None, "band": "NONE"},
            True,
            False,
        ),
        (
            "band-null",
            "a null rung says nothing",
            'severity = ">= 0"',
            {"severity": WITHHELD, "band": None},
            False,
            False,
        ),
        (
            "band-withheld",
            "nor does one that is withheld",
            'severity = ">= 0"',
            {"severity": WITHHELD, "band": WITHHELD},
            False,
            False,
        ),
        (
            "finer-says-nothing",
            "a finer rung says nothing of a coarser",
            'band = ["HIGH"]',
            {"severity": 7, "band": WITHHELD},
            False,
            False,
        ),
        ("magnitude-all", "100 to 999", 'deaths = ">= 100"', {"deaths": WITHHELD, "deaths_magnitude": 2}, True, False),
        (
            "magnitude-some",
            "100 to 999",
            'deaths = ">= 101"',
            {"deaths": WITHHELD, "deaths_magnitude": 2},
            False,
            False,
        ),
        ("magnitude-none", "100 to 999", 'deaths = "<= 99"', {"deaths": WITHHELD, "deaths_magnitude": 2}, False, True),
        (
            "magnitude-zero",
            "-1 is zero alone",
            'deaths = "<= 0"',
            {"deaths": WITHHELD, "deaths_magnitude": -1},
            True,
            False,
        ),
        (
            "magnitude-impossible",
            "no count has this magnitude",
            'deaths = ">= 0"',
            {"deaths": WITHHELD, "deaths_magnitude": -5},
            False,
            False,
        ),
        (
            "regions-all",
            "every set of countries of these regions has one of Northern America's",
            'countries = ["BM", "CA", "GL", "PM", "US"]',
            {"countries": WITHHELD, "regions": ["021", "202"]},
            True,
            False,
        ),
        (
            "regions-some",
            "not every one has CA",
            'countries = ["CA"]',
            {"countries": WITHHELD, "regions": ["021"]},
            False,
            False,
        ),
        ("regions-none", "none has KE", 'countries = ["KE"]', {"countries": WITHHELD, "regions": ["021"]}, False, True),
        (
            "regions-split",
            "half of each of two regions is not enough",
            'countries = ["BM", "CA", "GL", "PM", "KZ"]',
            {"countries": WITHHELD, "regions": ["021", "143"]},
            False,
            False,
        ),
        (
            "regions-000",
            "region 000 is never exhausted",
            'countries = ["AQ", "TW"]',
            {"countries": WITHHELD, "regions": ["000"]},
            False,
            False,
        ),
        (
            "regions-000-none",
            "but has no country of another region",
            'countries = ["KE"]',
            {"countries": WITHHELD, "regions": ["000"]},
            False,
            True,
        ),
        (
            "regions-empty",
            "no region, no country",
            'countries = ["KE"]',
            {"countries": None, "regions": []},
            False,
            True,
        ),
        (
            "regions-impossible",
            "no country has this region",
            'countries = ["KE"]',
            {"countries": WITHHELD, "regions": ["999"]},
            False,
            False,
        ),
        (
            "conjunction-false",
            "a conjunction is false if any member is",
            'critical = true, mode = ["LIVE"]',
            {"critical": None, "mode": "TEST"},
            False,
            True,
        ),
        (
            "conjunction-unknown",
            "else unknown if any is",
            'critical = true, mode = ["LIVE"]',
            {"critical": None, "mode": "LIVE"},
            False,
            False,
        ),
    ]:
        relayed: dict[str, Any] = {"node": "jp", "audience": "ke", "chain": [hop()]}
        yield (
            f"unknown-grant-{name}",
            _relayed_test(f"{about}: as a grant, {form}", form, slots, relayed, grants=True, applies=true),
        )
        yield (
            f"unknown-restriction-{name}",
            _relayed_test(
                f"{about}: as a restriction, {form}", form, slots, relayed, grants=False, applies=not false, surely=true
            ),
        )
    yield (
        "unknown-limits",
        vector(
            "a slot that earlier limits keep from this kind of reader is unknown to conditions",
            policy(
                rule("a", to='["ke"]', disclose='["title", "critical"]', when="{ critical = true }"),
                rule("b", to='["ke"]', disclose='["critical", "band"]'),
                audiences=KE,
            ),
            {"title": "t", "critical": True, "band": "LOW"},
            given(["band"], {"title": NO, "critical": embargoed(LATER)}, next=LATER),
            schemas={
                "test/1.0": schema("title", "critical", "band", more={"band": {"type": "string", "class": "harm"}})
            },
            node="jp",
            audience="ke",
            chain=[hop(limits=[{"kind": "MEMBER", "slots": ["critical"], "until": LATER}])],
        ),
    )
    yield (
        "unknown-limits-over",
        vector(
            "once the limit is past, the condition sees it",
            policy(
                rule("a", to='["ke"]', disclose='["title", "critical"]', when="{ critical = true }"),
                rule("b", to='["ke"]', disclose='["critical"]'),
                audiences=KE,
            ),
            {"title": "t", "critical": True},
            given(["title", "critical"], minute=LATER),
            now_minute=LATER,
            node="jp",
            audience="ke",
            chain=[hop(limits=[{"kind": "MEMBER", "slots": ["critical"], "until": LATER}])],
        ),
    )


def _relayed_test(
    about: str,
    form: str,
    slots: dict[str, Any],
    relayed: dict[str, Any],
    *,
    grants: bool,
    applies: bool,
    surely: bool = False,
) -> dict[str, Any]:
    """A relay from jp to ke: `note` always goes on, `title` shows what became of the test."""
    slots = slots | {"title": "t", "note": "n"}
    test = {"when": f"{{ {form} }}", "reveals": '["*"]', "to": '["ke"]'}
    always = rule("n", to='["ke"]', disclose='["note"]')
    if grants:
        text = policy(always, rule("a", disclose='["title"]', **test), audiences=KE)
        shown, why = applies, NO
    else:
        text = policy(
            always, rule("b", to='["ke"]', disclose='["title"]'), rule("a", withhold='["title"]', **test), audiences=KE
        )
        shown, why = not applies, no("a") if surely else NO
    hidden = {name: NO for name, value in slots.items() if value != WITHHELD and name not in ("title", "note")}
    disclosed = ["title", "note"] if shown else ["note"]
    withheld = hidden if shown else hidden | {"title": why}
    fixed = schema(*slots)
    return vector(
        about, text, slots, given(disclosed, withheld, limits=never(disclosed)), schemas={"test/1.0": fixed}, **relayed
    )
