# ruff: noqa: INP001 - scripts beside their data
"""Policy vectors of the language: what is loaded, and everything that is not (design 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas.vectors.policy_world import (
    FIELDS,
    HEAD,
    JP,
    KE,
    PUBLIC,
    Named,
    audience,
    policy,
    rule,
    schema,
    vector,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

GRANT = rule("a", disclose='["title"]')


def _when(form: str, verb: str = "disclose", reveals: str = '["*"]') -> str:
    return policy(rule("a", **{verb: '["title"]', "when": f"{{ {form} }}", "reveals": reveals}))


def _end(verb: str, end: str) -> str:
    return policy(f'[[rule]]\nid = "a"\nto = ["jp"]\n{verb} = ["title"]\n{end}\n')


LOADED = {
    "whole-example": (
        "every construct at once",
        policy(
            "[sets]",
            'network = ["jp", "ke"]',
            "[onward]",
            'AUTHORITY = ["@harm", "@system"]',
            rule(
                "gb-network-serious",
                to='["network"]',
                when='{ severity = ">= 4", tlp = "<= AMBER", stage = ["INITIAL", "UPDATE", "FINAL"] }',
                disclose='["@harm", "@system", "month"]',
                after='"P7D"',
                basis='"Network working arrangement 4.2"',
            ),
            rule(
                "gb-critical-hold",
                to='["*"]',
                when="{ critical = true }",
                withhold='["@technical"]',
                hold="true",
                reveals='["critical"]',
            ),
            audiences=audience("jp", exercises=True) + KE + PUBLIC,
        ),
    ),
    "no-rule": ("default deny needs no rule", policy()),
    "no-audience": ("a policy that names nobody gives nothing to anybody", policy(audiences="")),
    "grant-without-when": ("a rule without `when` always matches", policy(GRANT)),
    "zero-days": ("P0D is no leading zero", _end("disclose", 'after = "P0D"')),
    "longest": ("n up to 9999", _end("withhold", 'embargo = "PT9999H"')),
    "offset": ("any offset, as long as the minute is whole", policy(GRANT, head=HEAD.replace("00Z", "00+05:30"))),
    "quoted-and-dotted": (
        "TOML's own ways to write a key do not matter",
        policy('[audience."ke"]', 'kind = "MEMBER"', GRANT),
    ),
    "every-kind-onward": (
        "`[onward]` may name every kind",
        policy("[onward]", *(f'{k} = ["*"]' for k in ("MEMBER", "AUTHORITY", "BODY", "COMMUNITY", "PUBLIC"))),
    ),
    "community": ("a community of readers", policy(audiences=audience("community-research", "COMMUNITY"))),
    "empty-class": (
        "a class of protocol section 7 that no field of this schema has: every field of it, none",
        policy(rule("a", disclose='["@system"]')),
        ("title",),
    ),
    "test-number": ("a number from a bound on", _when('severity = ">= 4"')),
    "test-negative": ("bounds may be negative", _when('deaths_magnitude = "<= -1"')),
    "test-long": ("long slots are numbers too", _when('deaths = ">= 5000000000"')),
    "test-boolean": ("a boolean", _when("critical = false")),
    "test-enum": ("symbols of an enumeration", _when('band = ["HIGH", "MEDIUM"]')),
    "test-array": ("symbols of an array's items", _when('kinds = ["DEATH"]')),
    "test-countries": (
        "codes of region-1.csv where a rung of regions stands over them",
        _when('countries = ["KE", "AQ"]'),
    ),
    "test-regions": ("sub-regions, 000 too", _when('regions = ["202", "000"]')),
    "test-header": (
        "origin, stage, tlp, exercise",
        _when('origin = ["gb"], stage = ["FINAL"], tlp = "<= CLEAR", exercise = false'),
    ),
    "test-tlp-restriction": ("a restriction from a TLP on", _when('tlp = ">= AMBER_STRICT"', "withhold")),
    "seen-by-all": (
        "a test needs no `reveals` where every grant gives the field, its coarser form by the ladder",
        policy(
            rule("a", disclose='["title", "severity"]', when='{ band = ["HIGH"] }'), rule("b", disclose='["severity"]')
        ),
    ),
    "taken-with-everything": (
        "nor where a restriction takes the field only together with every other",
        policy(
            rule("a", disclose='["critical"]'), rule("b", withhold='["*"]', when="{ critical = true }", hold="true")
        ),
    ),
    "revealed-finer": (
        "`reveals` covers the coarser rungs of what it names",
        _when('band = ["HIGH"]', reveals='["severity"]'),
    ),
}

_BAD_HEADS = {
    "unknown-key": ("an unknown key", HEAD + "colour = 1\n"),
    "no-version": ("no version", HEAD.replace("version = 3\n", "")),
    "version-zero": ("versions begin at 1", HEAD.replace("version = 3", "version = 0")),
    "version-boolean": ("true is no version", HEAD.replace("version = 3", "version = true")),
    "version-text": ("a version is a number", HEAD.replace("version = 3", 'version = "3"')),
    "bad-policy-id": ("the policy's id has the pattern of a party id", HEAD.replace('"p"', '"P.1"')),
    "schema-unknown": (
        "classes and ladders expand over exactly that version, which is not known",
        HEAD.replace("test/1.0", "test/1.1"),
    ),
    "bad-jurisdiction": ("two capitals", HEAD.replace('"GB"', '"gbr"')),
    "effective-local": ("a time without an offset", HEAD.replace("00Z", "00")),
    "effective-second": ("not a whole minute", HEAD.replace(":00:00Z", ":00:30Z")),
    "effective-fraction": ("not a whole minute", HEAD.replace(":00Z", ":00.5Z")),
    "effective-date": ("a date is no time", HEAD.replace("T00:00:00Z", "")),
    "not-toml": ("not TOML", HEAD + "= 1\n"),
    "key-twice": ("TOML refuses a key twice", HEAD + "version = 4\n"),
}

_BAD_AUDIENCES = {
    "audience-no-kind": ("an audience without a kind", "[audience.jp]\n"),
    "audience-lab": ("no kind of audience", audience("jp", "LAB")),
    "audience-unknown-key": ("an unknown key of an audience", JP + "colour = 1\n"),
    "audience-exercises": ("neither true nor false", JP + "accepts_exercises = 1\n"),
    "public-by-another-name": ("PUBLIC is exactly public", audience("press", "PUBLIC")),
    "public-as-member": ("a reserved id is no party", audience("public", "MEMBER")),
    "community-name": ("a community is community-…", audience("research", "COMMUNITY")),
    "member-name": ("a reader is a party id", audience("Jp", "MEMBER")),
}

_BAD_PARTS = {
    "set-in-a-set": ("a set in a set", ["[sets]", 'a = ["jp"]', 'b = ["a"]']),
    "set-named-as-audience": ("a set with an audience's name", ["[sets]", 'jp = ["jp"]']),
    "set-empty": ("an empty list", ["[sets]", "a = []"]),
    "set-unknown": ("a set of somebody unknown", ["[sets]", 'a = ["fr"]']),
    "set-of-all": ('"*" is no audience', ["[sets]", 'a = ["*"]']),
    "onward-unknown-kind": ("no kind", ["[onward]", 'LAB = ["*"]']),
    "onward-unknown-field": ("no field", ["[onward]", 'MEMBER = ["colour"]']),
    "rule-no-id": ("a rule without id", ['[[rule]]\nto = ["jp"]\ndisclose = ["*"]']),
    "rule-id-form": ("an id that the wire cannot carry", [rule("A b", disclose='["*"]')]),
    "rule-id-twice": ("a repeated rule id", [GRANT, rule("a", withhold='["title"]')]),
    "rule-unknown-key": ("an unknown key of a rule", [rule("a", disclose='["*"]', until='"P1D"')]),
    "rule-single-table": ("rules are an array of tables", ['[rule]\nid = "a"\nto = ["jp"]\ndisclose = ["*"]']),
    "to-missing": ("a rule for nobody", ['[[rule]]\nid = "a"\ndisclose = ["*"]']),
    "to-empty": ("an empty list", [rule("a", to="[]", disclose='["*"]')]),
    "to-text": ("a text is no list", [rule("a", to='"jp"', disclose='["*"]')]),
    "to-unknown": ("an audience that is not there", [rule("a", to='["fr"]', disclose='["*"]')]),
    "neither": ("neither disclose nor withhold", [rule("a")]),
    "both": ("both disclose and withhold", [rule("a", disclose='["title"]', withhold='["day"]')]),
    "fields-empty": ("an empty list", [rule("a", disclose="[]")]),
    "field-unknown": ("no field", [rule("a", disclose='["colour"]')]),
    "field-number": ("a number is no field", [rule("a", disclose="[1]")]),
    "class-unknown": ("no class", [rule("a", disclose='["@colour"]')]),
    "class-wrong-case": ("no class", [rule("a", disclose='["@Harm"]')]),
    "basis-number": ("a basis is a text", [rule("a", disclose='["*"]', basis="1")]),
    "reveals-empty": ("an empty list", [rule("a", disclose='["*"]', reveals="[]")]),
    "reveals-unknown": ("no field", [rule("a", disclose='["*"]', reveals='["colour"]')]),
}

_BAD_ENDS = {
    "after-on-restriction": ("after belongs to a grant", "withhold", 'after = "P1D"'),
    "embargo-on-grant": ("embargo belongs to a restriction", "disclose", 'embargo = "P1D"'),
    "hold-on-grant": ("hold belongs to a restriction", "disclose", "hold = true"),
    "hold-false": ("hold = false", "withhold", "hold = false"),
    "hold-text": ("hold is true", "withhold", 'hold = "true"'),
    "embargo-and-hold": ("an embargo or a hold, not both", "withhold", 'embargo = "P1D"\nhold = true'),
    "duration-leading-zero": ("leading zeros", "disclose", 'after = "P07D"'),
    "duration-too-long": ("n up to 9999", "disclose", 'after = "P10000D"'),
    "duration-minutes": ("days or hours only", "disclose", 'after = "PT30M"'),
    "duration-both": ("days or hours, not both", "disclose", 'after = "P1DT1H"'),
    "duration-weeks": ("days or hours only", "disclose", 'after = "P1W"'),
    "duration-lower": ("as it is written", "disclose", 'after = "p1d"'),
    "duration-number": ("a text", "disclose", "after = 7"),
    "duration-empty": ("no number", "disclose", 'after = "PD"'),
}

_BAD_TESTS = {
    "when-unknown": ("no field", 'colour = ["RED"]'),
    "when-revision": ("the header's other fields are not tested", 'revision = ">= 1"'),
    "when-empty-list": ("an empty list", "band = []"),
    "when-unknown-symbol": ("no symbol", 'band = ["EXTREME"]'),
    "when-text": ("a text is no list", 'band = "HIGH"'),
    "when-mixed": ("a list of labels only", 'band = ["HIGH", 1]'),
    "when-booleans": ("a list of booleans", "critical = [true]"),
    "when-boolean-text": ("true or false", 'critical = "true"'),
    "when-number": ("a comparison, not a number", "severity = 4"),
    "when-numbers": ("labels are no numbers", "severity = [4, 5]"),
    "when-greater": (">= or <= only", 'severity = "> 4"'),
    "when-equal": (">= or <= only", 'severity = "= 4"'),
    "when-no-space": ("exactly one space", 'severity = ">=4"'),
    "when-two-spaces": ("exactly one space", 'severity = ">=  4"'),
    "when-space-before": ("exactly one space", 'severity = " >= 4"'),
    "when-leading-zero": ("leading zeros", 'severity = ">= 04"'),
    "when-minus-zero": ("zero has no sign", 'severity = ">= -0"'),
    "when-plus": ("no plus sign", 'severity = ">= +4"'),
    "when-fraction": ("whole numbers", 'severity = ">= 4.0"'),
    "when-free-text": ("free text cannot be tested", 'title = ["x"]'),
    "when-free-set": ("a set of strings that is in no region ladder", 'tags = ["x"]'),
    "when-date": ("a slot with a logical type", 'day = ">= 4"'),
    "when-time": ("a slot with a logical type", 'began = ">= 4"'),
    "when-fixed": ("no closed domain that a rule can name", 'digest = ["00000000"]'),
    "when-array-of-numbers": ("a comparison is for a number, not for a list of them", 'levels = ">= 1"'),
    "when-country-unknown": ("a code that region-1.csv lacks", 'countries = ["XX"]'),
    "when-country-is-region": ("regions are the labels of the coarser rung", 'countries = ["154"]'),
    "when-region-is-country": ("countries are the labels of the finer rung", 'regions = ["KE"]'),
    "when-origin-form": ("labels are party ids", 'origin = ["GB"]'),
    "when-origin-reserved": ("public is no party", 'origin = ["public"]'),
    "when-stage-unknown": ("no stage", 'stage = ["DRAFT"]'),
    "when-exercise-list": ("a list of booleans", "exercise = [false]"),
    "when-tlp-list": ("on tlp no list", 'tlp = ["CLEAR", "GREEN"]'),
    "when-tlp-grant": ("a grant reaches only up to a TLP", 'tlp = ">= GREEN"'),
    "when-tlp-unknown": ("no TLP", 'tlp = "<= WHITE"'),
    "when-tlp-spaces": ("exactly one space", 'tlp = "<=GREEN"'),
}

_LEAKS = {
    "leak": ("what is tested could be inferred", [rule("a", disclose='["title"]', when="{ critical = true }")]),
    "leak-one-grant": (
        "one grant of two does not give it",
        [rule("a", disclose='["title", "critical"]', when="{ critical = true }"), rule("b", disclose='["band"]')],
    ),
    "leak-taken": (
        "a restriction takes it, alone",
        [
            rule("a", disclose='["title", "critical"]', when="{ critical = true }"),
            rule("b", withhold='["critical"]', embargo='"P1D"'),
        ],
    ),
    "leak-taken-coarse": (
        "a restriction on a coarser rung takes it as well",
        [rule("a", disclose='["severity"]', when='{ severity = ">= 4" }'), rule("b", withhold='["band"]')],
    ),
    "leak-finer": (
        "giving the coarser rung does not give what is tested",
        [rule("a", disclose='["band"]', when='{ severity = ">= 4" }')],
    ),
    "leak-revealed-coarser": (
        "`reveals` covers coarser rungs, not finer ones",
        [rule("a", disclose='["title"]', when='{ severity = ">= 4" }', reveals='["band"]')],
    ),
    "leak-other-rule-reveals": (
        "what another rule reveals does not count",
        [
            rule("a", disclose='["title"]', when="{ critical = true }", reveals='["critical"]'),
            rule("b", disclose='["band"]', when="{ critical = false }"),
        ],
    ),
}


def language() -> Iterator[Named]:
    """`{valid}` vectors."""
    for name, (about, text, *fields) in LOADED.items():
        schemas = {"test/1.0": schema(*(fields[0] if fields else FIELDS))}
        yield f"loaded-{name}", _valid(about, text, loaded=True) | {"schemas": schemas}
    refused = {name: (about, policy(head=head)) for name, (about, head) in _BAD_HEADS.items()}
    refused |= {name: (about, policy(audiences=text)) for name, (about, text) in _BAD_AUDIENCES.items()}
    refused |= {name: (about, policy(*parts)) for name, (about, parts) in (_BAD_PARTS | _LEAKS).items()}
    refused |= {name: (about, _end(verb, end)) for name, (about, verb, end) in _BAD_ENDS.items()}
    refused |= {name: (about, _when(form)) for name, (about, form) in _BAD_TESTS.items()}
    refused["when-tlp-restriction"] = ("a restriction begins at a TLP", _when('tlp = "<= GREEN"', "withhold"))
    refused["leak-one-audience"] = (
        "what one audience may see, another could infer",
        policy(
            rule("a", disclose='["critical"]'),
            rule("b", to='["ke"]', disclose='["title"]'),
            rule("c", to='["*"]', withhold='["*"]', when="{ critical = true }"),
            audiences=JP + KE,
        ),
    )
    for name, (about, text) in refused.items():
        yield f"refused-{name}", _valid(about, text, loaded=False)


def _valid(about: str, text: str, *, loaded: bool) -> dict[str, object]:
    return vector(about, text, None, {"valid": loaded})
