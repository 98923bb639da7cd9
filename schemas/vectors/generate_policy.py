# ruff: noqa: INP001 - scripts beside their data
"""Writes the policy vectors of design 4: `python -m schemas.vectors.generate_policy` in the repository.

What is expected is written by hand beside each vector, never computed: the conformance test holds the node to it.
"""

from __future__ import annotations

import json
from pathlib import Path

from schemas.vectors.policy_conditions import conditional
from schemas.vectors.policy_language import language
from schemas.vectors.policy_meaning import meaning
from schemas.vectors.policy_sent import sent
from schemas.vectors.policy_stops import stopped
from schemas.vectors.policy_told import told

HERE = Path(__file__).parent / "policy"


def vectors() -> dict[str, str]:
    """The text of every vector by its file name."""
    made: dict[str, str] = {}
    for source in (language(), meaning(), conditional(), stopped(), sent(), told()):
        for name, vector in source:
            if f"{name}.json" in made:
                raise ValueError(f"two vectors are named {name}")
            made[f"{name}.json"] = json.dumps(vector, indent=1, ensure_ascii=False) + "\n"
    return made


def committed() -> dict[str, str]:
    """The text of every vector that is there."""
    return {file.name: file.read_text(encoding="utf-8") for file in sorted(HERE.glob("*.json"))}


def main() -> None:
    """Write what is new or differs, and remove what is no longer made."""
    HERE.mkdir(exist_ok=True)
    made = vectors()
    for name in committed().keys() - made.keys():
        (HERE / name).unlink()
    for name, text in made.items():
        (HERE / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
