"""JSON on which all readers agree: no member twice, and no number that JSON does not have (RFC 8259; I-JSON, RFC 7493)."""

from __future__ import annotations

import json
from typing import Any, NoReturn

_LEVELS = 64
"""Of lists and tables within each other: no file of ours has ten, and a thousand would stop whoever walks them."""
_DIGITS = 4_300
"""So many digits Python makes a number of; more could only tell it how large, where every comparison is settled."""


def loads(text: str) -> Any:
    """The value; ValueError where it is none, RecursionError where it is nested more than 64 deep."""
    found = json.loads(text, object_pairs_hook=_once, parse_constant=_refuse, parse_int=_whole)
    require_shallow(found)
    return found


def require_shallow(found: Any) -> None:
    """RecursionError where lists and tables are nested more than 64 deep: the interpreter's limit depends on who asks."""
    layer = [found]
    for _ in range(_LEVELS):
        layer = [
            inner
            for one in layer
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
    if layer:
        raise RecursionError


def _once(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """Readers differ on a member that is given twice; where it is a key's revocation, one of them would be wrong."""
    found = dict(members)
    if len(found) < len(members):
        names = [name for name, _ in members]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} is given twice")
    return found


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number of JSON")


def _whole(digits: str) -> int:
    return int(digits[:_DIGITS])
