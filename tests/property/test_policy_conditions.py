"""Three-valued truth against its definition: every finer value that the visible rungs allow, tried one by one."""

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.property.policy_cases import NAMES, SCHEMA, PolicyText, RuleText

from tocsin.flow.decide import WITHHELD
from tocsin.policy.conditions import Facts, Truth
from tocsin.report.ladders import FUNCTIONS
from tocsin.report.regions import REGIONS
from tocsin.wire.header import Stage, Tlp

FACTS = Facts("jp", Stage.INITIAL, Tlp.CLEAR, exercise=False)
EXAMPLES = settings(max_examples=400, deadline=None)
LISTED = [code for code, region in REGIONS.items() if region in ("021", "143", "000")]


def condition(field, form):
    text = PolicyText([RuleText("r", ["*"], "disclose", ["*"], when={field: form})], [], {})
    return text.policy().rules[0].condition


def truth(field, form, values):
    slots = tuple(values.get(name, WITHHELD) for name in NAMES)
    seen = sum(1 << i for i, value in enumerate(slots) if value is not WITHHELD and value is not None)
    return condition(field, form).truth(FACTS, slots, seen)


def over(holds):
    """Truth over all allowed values: all true, none, or else."""
    found = set(holds)
    if len(found) != 1:
        return Truth.UNKNOWN
    return Truth.TRUE if found == {True} else Truth.FALSE


@EXAMPLES
@given(st.integers(-2, 9), st.sampled_from([">=", "<="]), st.sampled_from(["NONE", "LOW", "MEDIUM", "HIGH"]))
def test_a_hidden_severity_is_judged_over_all_levels_of_its_band(n, sign, band):
    levels = [x for x in range(-3, 12) if FUNCTIONS["band/1"].apply(x) == band]
    expected = over((x >= n) if sign == ">=" else (x <= n) for x in levels)
    assert truth("severity", f'"{sign} {n}"', {"band": band}) is expected
    assert truth("severity", f'"{sign} {n}"', {"band": band, "severity": None}) is expected


@EXAMPLES
@given(st.integers(-2, 1_200), st.sampled_from([">=", "<="]), st.integers(-1, 2))
def test_a_hidden_count_is_judged_over_all_counts_of_its_magnitude(n, sign, magnitude):
    counts = [x for x in range(1_000) if FUNCTIONS["magnitude/1"].apply(x) == magnitude]
    expected = over((x >= n) if sign == ">=" else (x <= n) for x in counts)
    assert truth("deaths", f'"{sign} {n}"', {"deaths_magnitude": magnitude}) is expected


@EXAMPLES
@given(
    st.sets(st.sampled_from(LISTED), min_size=1),
    st.sets(st.sampled_from(["021", "143", "000"]), max_size=3),
)
def test_hidden_countries_are_judged_over_all_sets_that_their_regions_allow(labels, regions):
    """Codes that no table lists stand for an open region 000; four at most need to be drawn to show any answer."""
    pool = [code for code in [*LISTED, "XX"] if REGIONS.get(code, "000") in regions]
    sets = [
        chosen
        for size in range(len(regions) + 1)
        for chosen in combinations(pool, size)
        if {REGIONS.get(code, "000") for code in chosen} == regions
    ]
    expected = over(any(code in labels for code in chosen) for chosen in sets)
    form = "[" + ", ".join(f'"{code}"' for code in sorted(labels)) + "]"
    assert truth("countries", form, {"regions": sorted(regions)}) is expected


@pytest.mark.parametrize(
    ("field", "form", "values"),
    [
        pytest.param("severity", '">= 4"', {}, id="no rung is visible"),
        pytest.param("severity", '">= 4"', {"band": None}, id="the rung is null"),
        pytest.param("deaths", '">= 1"', {"deaths_magnitude": -7}, id="no value has this rung"),
        pytest.param("deaths", '">= 1"', {"deaths_magnitude": 19}, id="no value of the type has this rung"),
        pytest.param("countries", '["KZ"]', {"regions": ["999"]}, id="no country has this region"),
        pytest.param("band", '["HIGH"]', {"severity": 7}, id="finer rungs say nothing"),
        pytest.param("critical", "false", {}, id="a boolean has no rung"),
        pytest.param("critical", "true", {"critical": None}, id="a null boolean"),
    ],
)
def test_without_a_rung_that_allows_a_value_a_test_is_unknown(field, form, values):
    assert truth(field, form, values) is Truth.UNKNOWN


def test_the_finest_visible_rung_that_is_not_null_decides():
    assert truth("severity", '">= 4"', {"severity": 3, "band": "HIGH"}) is Truth.FALSE
    assert SCHEMA.coarser(SCHEMA.index("severity")) == (SCHEMA.index("band"),)


def test_a_conjunction_is_false_if_any_member_is_else_unknown_if_any_is():
    rule = RuleText("r", ["*"], "disclose", ["*"], when={"severity": '">= 4"', "critical": "true"})
    both = PolicyText([rule], [], {}).policy().rules[0].condition
    i, j = SCHEMA.index("severity"), SCHEMA.index("critical")
    slots = [None] * len(NAMES)
    for severity, critical, expected in [
        (5, True, Truth.TRUE),
        (5, None, Truth.UNKNOWN),
        (3, None, Truth.FALSE),
        (None, False, Truth.FALSE),
        (None, None, Truth.UNKNOWN),
    ]:
        slots[i], slots[j] = severity, critical
        seen = (severity is not None) << i | (critical is not None) << j
        assert both.truth(FACTS, slots, seen) is expected
