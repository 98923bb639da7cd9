"""The published vectors by the second verifier, which was written from the protocol's page alone."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.conformance.second.main import run_vector

ROOT = Path(__file__).parents[2]
VECTORS = ROOT / "schemas" / "vectors"
KINDS = ("accept", "reject", "statement", "stream", "trust", "build")
FILES = sorted(file for kind in KINDS for file in (VECTORS / kind).glob("*.json"))
REASONS = [
    "SIZE",
    "FRAMING",
    "ENVELOPE_MALFORMED",
    "HEADER_MALFORMED",
    "HEADER_INVALID",
    "SHAPE",
    "HOPS_COUNT",
    "HOP_MALFORMED",
    "HOP_INVALID",
    "HOP_PREV",
    "HOP_RELEASER",
    "HOP_MASK",
    "HOP_REASONS",
    "HOP_TLP",
    "HOP_HANDLING",
    "HOP_LIMIT",
    "HOP_TIME",
    "STREAM_SOURCE",
    "HOP_KEY_UNKNOWN",
    "HOP_KEY_WINDOW",
    "HOP_KEY_REVOKED",
    "HOP_SIGNATURE_INVALID",
    "KEY_UNKNOWN",
    "KEY_WINDOW",
    "KEY_REVOKED",
    "SIGNATURE_INVALID",
    "HOP_READER_UNKNOWN",
    "NOT_YET_VALID",
    "SCHEMA_UNKNOWN",
    "SCHEMA_MISMATCH",
    "SLOT_COUNT",
    "SLOT_MALFORMED",
    "LADDER_MISSING",
    "LADDER_MISMATCH",
    "STATEMENT_MALFORMED",
    "STATEMENT_KEY",
    "STATEMENT_SIGNATURE",
    "STATEMENT_PLACE",
]


def _read(file):
    return json.loads(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_vector_gives_the_answer_that_it_expects(file):
    vector = _read(file)
    assert run_vector(vector) == vector["expect"]


def test_vectors_of_every_kind_are_there_and_every_reason_has_one():
    assert {file.parent.name for file in FILES} == set(KINDS)
    found = {_read(file)["expect"].get("reason") for file in FILES if file.parent.name in {"reject", "statement"}}
    assert found - {None} == set(REASONS)


def test_command_line_prints_one_line_per_file():
    files = [str(VECTORS / kind / name) for kind, name in (("accept", "two-hops.json"), ("reject", "size.json"))]
    command = [sys.executable, "-m", "tests.conformance.second", *files]
    lines = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    assert [json.loads(line) for line in lines] == [{"file": file} | _read(Path(file))["expect"] for file in files]
