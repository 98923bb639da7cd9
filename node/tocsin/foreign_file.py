"""Reading a JSON or TOML file that somebody else wrote: whatever is in it, what is wrong is said with its name."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from tocsin import strict_json
from tocsin.errors import InputError, TocsinError


def read_foreign(
    path: Path, what: str, *, remedy: str, toml: bool = False, error: type[TocsinError] = InputError
) -> Any:
    """The value of the file; `error` where it cannot be read, is no JSON (or TOML), or is nested too deeply."""
    try:
        if not toml:
            return strict_json.loads(path.read_text(encoding="utf-8-sig"))
        found = tomllib.loads(path.read_text(encoding="utf-8"))
        strict_json.require_shallow(found)
    except OSError as fault:
        raise error(f"{what} cannot be read ({fault.strerror})", place=str(path), remedy=remedy) from fault
    except RecursionError as fault:
        raise error(f"{what} is nested too deeply", place=str(path), remedy=remedy) from fault
    except ValueError as fault:  # no UTF-8 and a number of thousands of digits too
        form = "TOML" if toml else "JSON"
        raise error(f"{what} is no {form} ({fault})", place=str(path), remedy=remedy) from fault
    return found
