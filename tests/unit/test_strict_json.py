"""What JSON readers differ on is refused, and what any of them may read is read."""

from __future__ import annotations

import json

import pytest

from tocsin.report.schema import load_schema
from tocsin.strict_json import loads


@pytest.mark.parametrize(
    "text", ['{"a": 1, "a": 1}', '[{"b": {"a": 1, "a": 2}}]', "NaN", "[-Infinity]", "", "{", "1 2"]
)
def test_what_readers_differ_on_is_no_json(text):
    with pytest.raises(ValueError, match=r"given twice|no number|Expecting|Extra"):
        loads(text)


def test_sixty_four_levels_are_read_and_one_more_is_not():
    assert loads("[" * 64 + "]" * 64) != []
    for levels in (65, 900, 100_000):
        with pytest.raises(RecursionError):
            loads("[" * levels + "]" * levels)


def test_a_whole_number_is_read_whatever_its_size():
    assert loads("[9007199254740993, -0, 1.5]") == [9007199254740993, 0, 1.5]
    assert loads("1" + "0" * 5_000) > 10**4_000
    assert loads("-1" + "0" * 5_000) < -(10**4_000)


def test_a_number_that_nothing_reads_makes_no_schema_unknown():
    field = {"name": "a", "type": ["null", "string"], "default": None, "oecd": 7}
    text = json.dumps({"type": "record", "name": "t", "fields": [field]})
    assert len(load_schema("test/1.0", text.replace(": 7", ": " + "7" * 5_000).encode()).fields) == 1
