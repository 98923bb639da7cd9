"""The policy language says everything that is wrong at once, each at its place, with what would be right."""

import pytest
from tests.property.policy_cases import SCHEMA

from tocsin.errors import PolicyError
from tocsin.policy.language import MAX_TEXT, parse_policy, schema_of, validate
from tocsin.policy.places import place_of, places
from tocsin.wire.hop import AudienceKind

TEXT = """policy = "gb"
version = 3
schema = "test/1.0"
jurisdiction = "GB"
effective_from = 2026-12-01T01:00:00+01:00

[audience.jp]
kind = "MEMBER"
[audience.public]
kind = "PUBLIC"
[onward]
AUTHORITY = ["severity"]

[[rule]]
id = "b"
to = ["*"]
withhold = ["band"]
embargo = "P2D"

[[rule]]
id = "a"
to = ["jp"]
when = { severity = ">= 4", countries = ["KE"] }
disclose = [
  "@harm",  # a comment, with ] and "
  "countries",
]
after = "PT3H"
reveals = ["countries", "severity"]
"""


def names(mask):
    return {field.name for field in SCHEMA.fields if mask >> field.index & 1}


def test_a_policy_is_understood_with_its_ladders_closed():
    policy = parse_policy(TEXT, SCHEMA)
    assert (policy.id, policy.version, policy.effective_minute * 60) == ("gb", 3, 1_796_083_200)
    first, second = policy.rules
    assert (first.id, first.minutes, first.to) == ("a", 180, {"jp"})
    assert names(first.fields) == {"month", "severity", "band", "regions", "countries", "deaths_magnitude"}
    assert names(first.reveals) == {"countries", "regions", "severity", "band"}
    assert (second.id, second.minutes, second.to) == ("b", 2_880, {"jp", "public"})
    assert names(second.fields) == {"severity", "band"}
    assert names(policy.onward[AudienceKind.AUTHORITY]) == {"severity", "band"}
    assert policy.serves("test", "1")
    assert not policy.serves("test", "2")


def test_every_problem_is_found_at_once_each_at_its_place():
    text = (
        TEXT.replace("version = 3", "version = 0")
        .replace('"PUBLIC"', '"PUBLICK"')
        .replace('"countries",\n', '"countris",\n')
        .replace('["KE"]', '["KE", "ZZ"]')
        .replace("P2D", "P02D")
        .replace("after =", "aftre =")
    )
    found = [(p.line, p.column, p.thing) for p in validate(text, SCHEMA)]
    assert found == [
        (2, 1, "'version' is missing or not a whole number from 1"),
        (10, 1, "'PUBLICK' is no kind of audience"),
        (18, 1, "'P02D' is no duration"),
        (23, 48, "no label of countries 'ZZ'"),
        (26, 3, "no field of test/1.0 'countris'"),
        (28, 1, "no key 'aftre'"),
    ]


def test_the_nearest_known_name_is_offered():
    (problem,) = validate(TEXT.replace("after =", "aftre ="), SCHEMA)
    assert problem.remedy == "Did you mean 'after'?"
    assert str(problem) == "line 28, column 1: no key 'aftre'. Did you mean 'after'?"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('[[rule]]\nid = "b"', '[[rules]]\nid = "b"', "line 14, column 3: no key 'rules'. Did you mean 'rule'?"),
        ('["KE"]', '["ke"]', "line 23, column 42: no label of countries 'ke'. Did you mean 'KE'?"),
        ('["KE"]', '["UK"]', "line 23, column 42: no label of countries 'UK'. Known: AD, AE"),
        ("AUTHORITY =", "authority =", "line 12, column 1: no key 'authority'. Did you mean 'AUTHORITY'?"),
        ('id = "b"', 'id = "a"', "the rule id 'a' is used twice, first by rule 1 of the text"),
        ('embargo = "P2D"', 'after = "P2D"', "'after' does not belong to withhold. What is withheld ends by embargo"),
        ('">= 4"', "[4, true]", "[4, true] is no test of a number"),
        ('to = ["*"]', 'to = "*"', "'*' is not a list of audiences and sets"),
        ("[onward]", '[sets]\nx = ["y"]\ny = ["jp"]\n[onward]', "'y' is a set. A set names audiences alone"),
        ('schema = "test/1.0"\n', "", "'schema' is missing"),
    ],
)
def test_what_is_wrong_is_said_where_it_stands_in_the_words_of_the_text(old, new, said):
    assert old in TEXT
    assert said in "\n".join(map(str, validate(TEXT.replace(old, new, 1), SCHEMA)))


def test_the_error_names_thing_place_and_remedy():
    with pytest.raises(PolicyError) as caught:
        parse_policy(TEXT.replace("P2D", "2D").replace("version = 3", "version = 0"), SCHEMA)
    assert caught.value.place == "line 2, column 1"
    assert "and 1 more" in caught.value.thing


def test_a_leak_names_rule_field_and_audience():
    (problem,) = validate(TEXT.replace('"countries", "severity"]', '"countries"]'), SCHEMA)
    assert (problem.line, problem.column) == (23, 10)
    assert problem.thing == "rule a tests severity, and jp could infer it without being shown it"


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        pytest.param(b"policy = \xff", 1, 1, id="no UTF-8"),
        pytest.param("policy = 'a'\nversion = \n", 2, 11, id="no TOML"),
        pytest.param("policy = 'a'\n[", 2, 1, id="ends within a header"),
        pytest.param("a = " + "[" * 5_000, 1, 1, id="nested"),
        pytest.param("a = " + "9" * 5_000, 1, 1, id="a number of thousands of digits"),
        pytest.param("#" * (MAX_TEXT + 1), 1, 1, id="long"),
        pytest.param("\ud800", 1, 1, id="a lone surrogate"),
        pytest.param("", 1, 1, id="empty"),
        pytest.param("schema = 5", 1, 1, id="a schema that is no text"),
    ],
)
def test_what_is_no_policy_at_all_is_a_problem_not_a_crash(text, line, column):
    problem, *_ = validate(text, SCHEMA)
    assert (problem.line, problem.column) == (line, column)
    assert schema_of(text) is None


def test_a_schema_that_is_not_known_is_a_problem():
    assert schema_of(TEXT) == "test/1.0"
    (problem,) = validate(TEXT, None)
    assert (problem.line, problem.column) == (3, 1)


def test_places_are_found_through_every_way_to_write_toml():
    found = places(
        "a.b = 1\n"
        "'c d' = [1, [2, '''x\n]'''], {e = 2, f.g = \"}\"}]\n"
        '[t."u"] # [not]\n'
        "v = 1979-05-27 07:32:00Z\n"
        '[[w]]\nx = """a\\"""b"""\n[w.y]\nz = 0\n[[w]]\r\n  x = 1.5e3\n'
    )
    assert found[("a", "b")] == (1, 1)
    assert found[("c d",)] == (2, 1)
    assert found[("c d", 1, 1)] == (2, 17)
    assert found[("c d", 2, "f", "g")] == (3, 16)
    assert found[("t", "u")] == (4, 2)
    assert found[("t", "u", "v")] == (5, 1)
    assert found[("w", 0, "x")] == (7, 1)
    assert found[("w", 0, "y", "z")] == (9, 1)
    assert found[("w", 1, "x")] == (11, 3)
    assert place_of(found, ("w", 1, "q", 5)) == found[("w", 1)]
    assert place_of(found, ("nowhere",)) == (1, 1)
