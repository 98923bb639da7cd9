"""Three-valued conditions for the policy oracle: finer values are written down, and each is asked."""

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

from tests.conformance.policy_reading import INT_RANGES, Schema, Test


def judge(test: Test, name: str, seen: Mapping[str, Any], schema: Schema, regions: Mapping[str, str]) -> bool | None:
    """True, false or unknown (None) of one test, given the visible slots (a value of None is a disclosed null)."""
    if seen.get(name) is not None:
        return test.holds(seen[name])
    path = [name]
    for rung in schema.coarser(name):
        path.append(rung)
        if seen.get(rung) is not None:
            outcomes = {test.holds(value) for value in _finer_values(test, path, seen[rung], schema, regions)}
            return outcomes.pop() if len(outcomes) == 1 else None
    return None


def _finer_values(
    test: Test, path: list[str], wanted: Any, schema: Schema, regions: Mapping[str, str]
) -> Iterator[Any]:
    """Values of the field path[0] whose rung path[-1] is `wanted`: one at least of every kind that matters."""
    field = schema.fields[path[0]]
    candidates = _numbers(test, field.type["type"]) if field.plain_number else _country_sets(test, wanted, regions)
    for value in candidates:
        coarse: Any = value
        for rung in path[1:]:
            coarse = None if coarse is None else _coarsen(schema.fields[rung].by, coarse, regions)
        same = sorted(wanted) if isinstance(wanted, list) else wanted
        if coarse is not None and coarse == same:
            yield value


def _numbers(test: Test, avro: str) -> set[int]:
    """All edges of cells (band: 0 to 8, magnitude: powers of ten), of the type and of the test, with neighbours.

    Rungs and test are constant between two edges, so that every cell is represented by its own ends.
    """
    low, high = INT_RANGES[avro]
    edges = {low, high, test.value, *range(-1, 10), *(10**power for power in range(20))}
    return {edge + step for edge in edges for step in (-1, 0, 1) if low <= edge + step <= high}


def _country_sets(test: Test, wanted: list[str], regions: Mapping[str, str]) -> Iterator[list[str]]:
    """All sets over a universe that has, for each wanted region, a code that is tested for and one that is not."""
    universe: list[str] = []
    for region in sorted(set(wanted)):
        members = [code for code, its_region in regions.items() if its_region == region]
        universe += [code for code in members if code in test.value][:1]
        strangers = [code for code in members if code not in test.value][:1]
        universe += ["-fresh"] if region == "000" else strangers  # codes that the table lacks are of 000
    for size in range(len(universe) + 1):
        for codes in combinations(universe, size):
            yield list(codes)


def _coarsen(by: str | None, value: Any, regions: Mapping[str, str]) -> Any:
    """The registered functions that a testable field can have; None where undefined."""
    if by == "band/1":
        return ["NONE", "LOW", "LOW", "MEDIUM", "MEDIUM", "HIGH", "HIGH", "HIGH"][value] if 0 <= value <= 7 else None
    if by == "magnitude/1":
        return None if value < 0 else -1 if value == 0 else len(str(value)) - 1
    if by == "region/1":
        return sorted({regions.get(code, "000") for code in value})
    return None
