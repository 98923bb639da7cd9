"""Reading a JSON or TOML file that somebody else wrote: whatever is in it, what is wrong is said with its name."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from tocsin import strict_json
from tocsin.errors import InputError, TocsinError

_LEVELS = 64
"""Of lists and tables within each other: no file of ours has ten, and a thousand would stop whoever walks them."""


def read_foreign(
    path: Path, what: str, *, remedy: str, toml: bool = False, error: type[TocsinError] = InputError
) -> Any:
    """The value of the file; `error` where it cannot be read, is no JSON (or TOML), or is nested too deeply."""
    try:
        found = (
            tomllib.loads(path.read_text(encoding="utf-8"))
            if toml
            else strict_json.loads(path.read_text(encoding="utf-8-sig"))
        )
        _require_shallow(found)
    except OSError as fault:
        raise error(f"{what} cannot be read ({fault.strerror})", place=str(path), remedy=remedy) from fault
    except RecursionError as fault:
        raise error(f"{what} is nested too deeply", place=str(path), remedy=remedy) from fault
    except ValueError as fault:  # no UTF-8 and a number of thousands of digits too
        form = "TOML" if toml else "JSON"
        raise error(f"{what} is no {form} ({fault})", place=str(path), remedy=remedy) from fault
    return found


def _require_shallow(found: Any) -> None:
    """The interpreter's own limit depends on who asks, so that what was read could still be too deep to be said."""
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
