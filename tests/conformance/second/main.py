"""Vectors in, answers out: `python -m tests.conformance.second FILE…` prints one JSON line per file."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tests.conformance.second import build, report, schema, statement, stream, trust
from tests.conformance.second.messages import RefusedError


def run_vector(vector: dict[str, Any]) -> dict[str, Any]:
    """The second verifier's answer to one vector, in the form of the vector's `expect`; a build vector's is built anew."""
    if "trust" not in vector:
        return build.build(vector)
    try:
        view = trust.load(vector["trust"])
    except trust.NotLoadedError:
        if "now_ms" in vector:
            raise
        return {"loaded": False}
    try:
        return _answer(vector, view)
    except RefusedError as refused:
        return {"reason": refused.reason}


def _answer(vector: dict[str, Any], view: trust.View) -> dict[str, Any]:
    if "items" in vector:
        return {"steps": stream.run(vector["items"], stream.Reader(view, vector["now_ms"], vector["stream"]))}
    if "statement_hex" in vector:
        record = bytes.fromhex(vector["statement_hex"])
        said = statement.verify(record, view, vector["now_ms"], vector.get("came_by"))
        return {"type": said.type, "body_hex": said.raw.hex()}
    return _report(vector, view) if "envelope_hex" in vector else {"loaded": True}


def _report(vector: dict[str, Any], view: trust.View) -> dict[str, Any]:
    held = frozenset(bytes.fromhex(leaf) for leaf in vector["held"])
    reader = report.Reader(view, schema.known(vector["schemas"]), vector["now_ms"], vector["came_by"], held)
    accepted = report.verify(bytes.fromhex(vector["envelope_hex"]), reader)
    return {
        "leaf_hex": accepted.leaf.hex(),
        "disclosed": {str(i): value.hex() for i, value in accepted.disclosed.items()},
        "chain": accepted.chain,
    }


def main(files: list[str]) -> None:
    """Print the answer to each file."""
    for file in files:
        vector = json.loads(Path(file).read_text(encoding="utf-8"))
        print(json.dumps({"file": file} | run_vector(vector)))


if __name__ == "__main__":
    main(sys.argv[1:])
