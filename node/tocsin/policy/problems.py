"""What is wrong with a policy's text: all of it at once, each with line, column and remedy."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tocsin.policy.places import Path, Place, place_of, places

_CODE, _MANY = 3, 40


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """Line and column count characters from 1."""

    line: int
    column: int
    thing: str
    remedy: str = ""

    @property
    def place(self) -> str:
        """Said to a person."""
        return f"line {self.line}, column {self.column}"

    def __str__(self) -> str:
        return f"{self.place}: {self.thing}" + (f". {self.remedy}" if self.remedy else "")


class Problems:
    """Collects problems while a text is read."""

    def __init__(self, text: str) -> None:
        """`text` is TOML that can be read."""
        self._text = text
        self._places: dict[Path, Place] | None = None
        self.found: list[Problem] = []

    def add(self, path: Path, thing: str, remedy: str = "") -> None:
        """A problem at a table, a key or an item of a list."""
        if self._places is None:  # most texts have no problem, and need no places
            self._places = places(self._text)
        line, column = place_of(self._places, path)
        self.found.append(Problem(line, column, thing, remedy))

    def unknown(self, path: Path, what: str, name: str, known: Iterable[str]) -> None:
        """A name that does not exist; the nearest known one is named, or all where they are few."""
        known = sorted(known)
        near = [one for one in known if one.lower() == name.lower()]
        if not near and len(name) > _CODE:  # of a code of two letters every other one is near
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
        listed = ", ".join(known[:_MANY]) + (f" … ({len(known)} in all)" if len(known) > _MANY else "")
        self.add(path, f"no {what} {name!r}", f"Did you mean {str(near[0])!r}?" if near else f"Known: {listed}")

    def table(self, path: Path, value: Any, known: Iterable[str] | None = None) -> dict[str, Any]:
        """The value as a table with no other keys than `known` (None: any); empty where it is none."""
        if not isinstance(value, dict):
            self.add(path, f"{_name(path)!r} is no table")
            return {}
        if known is not None:
            known = tuple(known)
            for key in value:
                if key not in known:
                    self.unknown((*path, key), "key", key, known)
        return value

    def texts(self, path: Path, value: Any, of: str) -> list[tuple[Path, str]]:
        """The value as a list of one or more texts, each with its path; what is no text is a problem and left out."""
        if not isinstance(value, list) or not value:
            thing = value if isinstance(value, str) else _name(path)
            self.add(path, f"{shown(thing)} is not a list of {of}", "Write a list with at least one member")
            return []
        items = [((*path, i), item) for i, item in enumerate(value)]
        for at, item in items:
            if not isinstance(item, str):
                self.add(at, f"{shown(item)} is none of {of}", "Write texts in quotation marks")
        return [(at, item) for at, item in items if isinstance(item, str)]


def shown(value: Any) -> str:
    """A value as people write it in TOML, not as Python does."""
    return repr(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _name(path: Path) -> str:
    names = [part for part in path if isinstance(part, str)]
    return names[-1] if names else "the document"
