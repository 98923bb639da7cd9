"""Reports as files that people write: JSON or TOML by field name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tocsin.errors import InputError
from tocsin.foreign_file import read_foreign


def read_document(path: Path) -> dict[str, Any]:
    """The file as a mapping by field name; TOML where its name ends in .toml, JSON otherwise."""
    remedy = 'Write an object by field name: {"title": "…", …}; a TOML file must be named .toml'
    document = read_foreign(path, "the report", remedy=remedy, toml=path.suffix == ".toml")
    if not isinstance(document, dict):
        raise InputError("this is no report", place=str(path), remedy=remedy)
    return document


def named(text: str, known: Mapping[str, Any], option: str) -> str:
    """One of the known names, however it is written: `amber+strict` is AMBER_STRICT."""
    name = text.strip().upper().replace("+", "_").replace("-", "_")
    if name not in known:
        raise InputError(f"{text[:40]!r} is none of {', '.join(known)}", place=option)
    return name
