"""Laws of ladders, schemas, documents and judging over generated values of incident/1.0."""

from datetime import date

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tocsin.packaged import published_schemas
from tocsin.report.document import from_document, to_document
from tocsin.report.incident_rules import SEVERITIES
from tocsin.report.ladders import FUNCTIONS, UNDEFINED, Choice, Span, allowed, compose
from tocsin.report.problem import VocabularyError
from tocsin.report.regions import REGIONS
from tocsin.report.types import Type
from tocsin.report.vocabulary import complete, encode_slots, problems
from tocsin.wire.avro import Malformed
from tocsin.wire.header import Header, Stage, Tlp
from tocsin.wire.reasons import Reason
from tocsin.wire.verify import Judged

LAW = settings(deadline=None)
"""A busy machine is slow; that breaks no law."""
KNOWN = published_schemas()
SCHEMA = KNOWN.exact("incident/1.0")
STRINGS = Type("array", items=Type("string"))
COUNTRIES = st.lists(st.sampled_from(sorted(REGIONS)) | st.text(max_size=2), unique=True, max_size=6)
HEADER = Header("gb", bytes(16), bytes(16), 0, Stage.INITIAL, bytes(32), 1, SCHEMA.id, SCHEMA.sha256, Tlp.GREEN, False)


def values_of(of):
    """Values that fit a type, of every kind."""
    integers = of.bounds()
    if integers:
        return st.integers(integers.start, integers.stop - 1) | st.integers(-3, 40)
    made = {
        "string": lambda: st.text(max_size=20),
        "bytes": lambda: st.binary(max_size=20),
        "fixed": lambda: st.binary(min_size=of.size, max_size=of.size),
        "boolean": st.booleans,
        "enum": lambda: st.sampled_from(of.symbols),
        "array": lambda: st.lists(values_of(of.items), max_size=3),
        "record": lambda: st.fixed_dictionaries({name: values_of(part) for name, part in of.fields}),
    }
    return made[of.kind]()


REPORTS = st.fixed_dictionaries({}, optional={of.name: st.none() | values_of(of.type) for of in SCHEMA.fields})
SOUND = st.fixed_dictionaries(
    {"severity_assessed_by": st.just("gb")},
    optional={
        "title": st.text(),
        "severity": st.integers(0, len(SEVERITIES) - 1),
        "occurred_from": st.integers(-(2**40), 2**40),
        "occurred_day": st.none(),
        "countries": st.lists(st.sampled_from(sorted(REGIONS)), unique=True),
        "deaths": st.integers(0, 2**63 - 1),
        "affected_magnitude": st.integers(-1, 18),
        "harm_types": st.lists(st.sampled_from(SCHEMA.named("harm_types").type.items.symbols), unique=True),
        "sources": st.lists(st.binary(min_size=32, max_size=32), unique=True, max_size=4),
    },
)  # fmt: skip


@LAW
@given(st.dates())
def test_month_1_is_the_first_day_of_the_calendars_month(day):
    days = day.toordinal() - date(1970, 1, 1).toordinal()
    assert FUNCTIONS["month/1"].apply(days) == days - day.day + 1


@LAW
@given(st.integers(-(2**31), 2**31 - 1))
def test_month_1_repeats_every_400_years_and_is_its_own_rung(day):
    """So it is right on every day of 32 bits, where it is right on those of the calendar."""
    month, era = FUNCTIONS["month/1"].apply(day), 146_097
    if month is not UNDEFINED:
        assert 0 <= day - month <= 30
        assert FUNCTIONS["month/1"].apply(month) == month
    near = day % era
    expected = FUNCTIONS["month/1"].apply(near) + day - near
    assert month == (expected if expected >= -(2**31) else UNDEFINED)


@LAW
@given(st.integers(-3, 2**63 - 1) | st.integers(-3, 12), st.sampled_from([("band/1",), ("magnitude/1",), ("magnitude/1", "magnitude/1"), ("magnitude/1", "band/1")]))  # fmt: skip
def test_a_coarser_rung_allows_exactly_the_values_that_lead_to_it(value, path):
    """The ends of the interval lead to the same rung, and their neighbours outside to another."""
    coarser = compose(path, value)
    if coarser is UNDEFINED:
        return
    span = allowed(path, Type("long"), coarser)
    assert isinstance(span, Span)
    assert span.low <= value <= span.high
    assert compose(path, span.low) == compose(path, span.high) == coarser
    for outside in (span.low - 1, span.high + 1):
        assert outside not in range(-(2**63), 2**63) or compose(path, outside) != coarser


@LAW
@given(COUNTRIES, COUNTRIES)
def test_regions_allow_exactly_the_sets_that_lead_to_them(countries, others):
    """A set leads to the regions of another if and only if it draws from each of their groups and from nowhere else."""
    choice = allowed(("region/1",), STRINGS, FUNCTIONS["region/1"].apply(countries))
    assert isinstance(choice, Choice)
    for codes in (countries, others):
        within = all(any(code in group for group in choice.groups) for code in codes)
        drawn = within and all(any(code in group for code in codes) for group in choice.groups)
        assert drawn == (FUNCTIONS["region/1"].apply(codes) == FUNCTIONS["region/1"].apply(countries))


@LAW
@example({"occurred_from": 0, "occurred_to_day": -1})
@given(REPORTS)
def test_what_has_no_problem_is_encoded_judged_and_shown_without_loss(values):
    """And what has one is refused: there is no third way."""
    found = problems(values, SCHEMA)
    if found:
        assert all(problem.field and problem.value and problem.expected for problem in found)
        return
    _round_trip(values)


@LAW
@given(SOUND)
def test_what_an_officer_would_write_is_encoded_judged_and_shown_without_loss(values):
    if "severity" not in values:
        del values["severity_assessed_by"]
    assert problems(values, SCHEMA) == []
    _round_trip(values)


def _round_trip(values):
    slots = encode_slots(values, SCHEMA)
    judged = KNOWN.judge(HEADER, len(slots), dict(enumerate(slots)), [])
    assert isinstance(judged, Judged)
    completed = complete(values, SCHEMA)
    assert {SCHEMA.fields[i].name: value for i, value in judged.values.items() if value is not None} == completed
    assert encode_slots(completed, SCHEMA) == slots
    assert from_document(to_document(completed, SCHEMA), SCHEMA) == completed


@LAW
@given(SOUND, st.integers(0, 2**82 - 1))
def test_withholding_slots_makes_no_ladder_disagree(values, mask):
    values.setdefault("severity", 0)
    slots = encode_slots(values, SCHEMA)
    disclosed = {i: slot for i, slot in enumerate(slots) if mask >> i & 1}
    assert isinstance(KNOWN.judge(HEADER, len(slots), disclosed, []), Judged)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.binary(max_size=3) | st.dates() | st.datetimes(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@LAW
@given(st.dictionaries(st.sampled_from([of.name for of in SCHEMA.fields]) | st.text(max_size=8), JSON, max_size=8))
def test_reading_a_document_is_total(document):
    """Whatever is written, it becomes values without a problem or a refusal with problems."""
    try:
        values = from_document(document, SCHEMA)
    except VocabularyError as refused:
        found = refused.problems
    else:
        found = None
        assert problems(values, SCHEMA) == []
    assert found is None or len(found) > 0


@LAW
@given(
    st.dictionaries(st.integers(0, 90), st.binary(max_size=12)),
    st.sampled_from(["incident/1.0", "incident/1.9"]),
    st.integers(80, 91),
)
def test_judging_is_total_and_reads_only_what_is_strict(disclosed, schema, n):
    """Any bytes: a verdict; and what was read is written as the same bytes again."""
    header = Header("gb", bytes(16), bytes(16), 0, Stage.INITIAL, bytes(32), 1, schema, SCHEMA.sha256, Tlp.GREEN, False)
    disclosed = {i: data for i, data in disclosed.items() if i < n}
    judged = KNOWN.judge(header, n, disclosed, [])
    if isinstance(judged, Reason):
        assert judged in {Reason.SLOT_COUNT, Reason.SLOT_MALFORMED, Reason.LADDER_MISMATCH}
        return
    assert judged.values.keys() | judged.unreadable == disclosed.keys()
    for i, value in judged.values.items():
        assert SCHEMA.fields[i].encode(value) == disclosed[i]
    for i in judged.unreadable & set(range(len(SCHEMA.fields))):
        try:
            SCHEMA.fields[i].decode(disclosed[i])
        except Malformed:
            continue
        raise AssertionError(f"slot {i} can be read")
