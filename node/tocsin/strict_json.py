"""JSON on which all readers agree: no member twice, and no number that JSON does not have (RFC 8259; I-JSON, RFC 7493)."""

from __future__ import annotations

import json
from typing import Any, NoReturn


def loads(text: str) -> Any:
    """The value; ValueError (or RecursionError) where it is none."""
    return json.loads(text, object_pairs_hook=_once, parse_constant=_refuse)


def _once(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """Readers differ on a member that is given twice; where it is a key's revocation, one of them would be wrong."""
    found = dict(members)
    if len(found) < len(members):
        names = [name for name, _ in members]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} is given twice")
    return found


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number of JSON")
