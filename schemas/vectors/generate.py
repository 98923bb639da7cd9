# ruff: noqa: INP001 - scripts beside their data
"""Writes the vectors of protocol section 9 from fixed inputs: `python -m schemas.vectors.generate` in the repository.

Policy vectors are written elsewhere. The conformance tests hold what is committed equal to what this gives.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from schemas.vectors.make_accept import accepts
from schemas.vectors.make_build import builds
from schemas.vectors.make_order import orders
from schemas.vectors.make_reject import rejects
from schemas.vectors.make_reject_late import late_rejects
from schemas.vectors.make_statement import statements
from schemas.vectors.make_stream import streams
from schemas.vectors.make_trust import trusts

HERE = Path(__file__).parent


def vectors() -> dict[str, str]:
    """The text of every vector by its path below this directory, such as `reject/size.json`."""
    made: dict[str, str] = {}
    for folder, source in (
        ("accept", accepts()),
        ("build", builds()),
        ("reject", rejects()),
        ("reject", late_rejects()),
        ("reject", orders()),
        ("statement", statements()),
        ("stream", streams()),
        ("trust", trusts()),
    ):
        for name, vector in source:
            path = f"{folder}/{name}.json"
            if path in made:
                raise ValueError(f"two vectors are named {path}")
            made[path] = _text(vector)
    return made


def committed() -> dict[str, str]:
    """The text of every vector that is there, by the same paths."""
    folders = ("accept", "build", "reject", "statement", "stream", "trust")
    return {
        str(file.relative_to(HERE)): file.read_text(encoding="utf-8")
        for folder in folders
        for file in sorted((HERE / folder).glob("*.json"))
    }


def _text(vector: dict[str, Any]) -> str:
    return json.dumps(vector, indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    """Write what is new or differs, and remove what is no longer made."""
    made = vectors()
    for path in committed().keys() - made.keys():
        (HERE / path).unlink()
    for path, text in made.items():
        (HERE / path).parent.mkdir(exist_ok=True)
        (HERE / path).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
