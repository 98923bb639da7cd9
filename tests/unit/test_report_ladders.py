"""The registered rung functions give what protocol section 7 says, and can be read backwards for the policy analysis."""

import pytest

from tocsin.report.ladders import FUNCTIONS, UNDEFINED, Choice, Group, Span, allowed, compose
from tocsin.report.regions import REGIONS
from tocsin.report.types import Type

INT, LONG = Type("int"), Type("long")
STRINGS = Type("array", items=Type("string"))


@pytest.mark.parametrize(
    ("function", "finer", "coarser"),
    [
        ("day/1", 0, 0),
        ("day/1", 86_399_999, 0),
        ("day/1", -1, -1),
        ("day/1", 86_400_000 * (2**31 - 1) + 86_399_999, 2**31 - 1),
        ("day/1", 86_400_000 * 2**31, UNDEFINED),
        ("day/1", -86_400_000 * 2**31 - 1, UNDEFINED),
        ("month/1", 0, 0),
        ("month/1", 30, 0),
        ("month/1", 31, 31),
        ("month/1", -1, -31),
        ("month/1", 11_016, 10_988),  # 2000-02-29
        ("month/1", -25_508, -25_508),  # 1900-03-01, after a February of 28 days
        ("month/1", 2**31 - 1, 2_147_483_637),  # 11 July of the year 5,881,580
        ("region/1", [], []),
        ("region/1", ["GB", "IE", "JP"], ["030", "154"]),
        ("region/1", ["TW", "XX", "", "gb"], ["000"]),
        ("band/1", 0, "NONE"),
        ("band/1", 1, "LOW"),
        ("band/1", 2, "LOW"),
        ("band/1", 3, "MEDIUM"),
        ("band/1", 4, "MEDIUM"),
        ("band/1", 5, "HIGH"),
        ("band/1", 7, "HIGH"),
        ("band/1", 8, UNDEFINED),
        ("band/1", -1, UNDEFINED),
        ("magnitude/1", 0, -1),
        ("magnitude/1", 1, 0),
        ("magnitude/1", 9, 0),
        ("magnitude/1", 10, 1),
        ("magnitude/1", 999_999_999_999_999_999, 17),
        ("magnitude/1", 2**63 - 1, 18),
        ("magnitude/1", -1, UNDEFINED),
    ],
)
def test_a_function_gives_the_rung_of_the_protocol(function, finer, coarser):
    assert FUNCTIONS[function].apply(finer) == coarser


def test_functions_compose_and_stay_undefined():
    assert compose(["day/1", "month/1"], 86_400_000 * 40) == 31
    assert compose(["magnitude/1", "magnitude/1"], 10**15) == 1
    assert compose(["magnitude/1", "magnitude/1"], 0) is UNDEFINED
    assert compose([], 7) == 7


@pytest.mark.parametrize(
    ("path", "finest", "coarser", "span"),
    [
        (("band/1",), INT, "LOW", Span(1, 2)),
        (("band/1",), INT, "NONE", Span(0, 0)),
        (("band/1",), INT, "OTHER", None),
        (("magnitude/1",), INT, -1, Span(0, 0)),
        (("magnitude/1",), INT, 0, Span(1, 9)),
        (("magnitude/1",), INT, 9, Span(10**9, 2**31 - 1)),
        (("magnitude/1",), LONG, 18, Span(10**18, 2**63 - 1)),
        (("magnitude/1",), INT, 10, None),
        (("magnitude/1",), LONG, 19, None),
        (("magnitude/1",), LONG, -2, None),
        (("magnitude/1",), LONG, 10**9, None),
        (("magnitude/1", "band/1"), INT, "LOW", Span(10, 999)),
        (("magnitude/1", "magnitude/1"), LONG, 1, Span(10**10, 2**63 - 1)),
        (("magnitude/1", "magnitude/1"), LONG, -1, Span(1, 9)),
        (("magnitude/1", "magnitude/1"), LONG, 2, None),
        (("day/1",), LONG, 1, None),
        (("month/1",), INT, 31, None),
    ],
)
def test_a_coarser_rung_allows_an_interval_of_finer_ones(path, finest, coarser, span):
    assert allowed(path, finest, coarser) == span


def test_regions_allow_sets_that_draw_from_each_and_from_nowhere_else():
    assert allowed(("region/1",), STRINGS, ["030", "021"]) == Choice(
        (
            Group(frozenset({"CN", "HK", "JP", "KP", "KR", "MN", "MO"})),
            Group(frozenset({"BM", "CA", "GL", "PM", "US"})),
        )
    )
    assert allowed(("region/1",), STRINGS, []) == Choice(())


def test_region_000_is_never_exhausted():
    choice = allowed(("region/1",), STRINGS, ["000"])
    assert choice == Choice((Group(frozenset({"AQ", "TW"}), open=True),))
    assert "XX" in choice.groups[0]
    assert "TW" in choice.groups[0]
    assert "GB" not in choice.groups[0]


def test_a_region_of_no_country_allows_nothing():
    assert allowed(("region/1",), STRINGS, ["030", "999"]) is None


def test_regions_of_regions_are_all_000():
    choice = allowed(("region/1", "region/1"), STRINGS, ["000"])
    assert choice == Choice((Group(frozenset(REGIONS), open=True),))
    assert allowed(("region/1", "region/1"), STRINGS, ["154"]) is None
