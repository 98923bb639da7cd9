"""Reports as files that people write: JSON or TOML by field name."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tocsin.errors import InputError


def read_document(path: Path) -> dict[str, Any]:
    """The file as a mapping by field name; TOML where its name ends in .toml, JSON otherwise."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no UTF-8"
        raise InputError(f"the file cannot be read ({why})", place=str(path)) from error
    toml = path.suffix == ".toml"
    try:
        document = tomllib.loads(text) if toml else json.loads(text)
    except ValueError as error:
        remedy = "" if toml else "A TOML file must be named .toml"
        raise InputError(
            f"this is no {'TOML' if toml else 'JSON'} ({error})", place=str(path), remedy=remedy
        ) from error
    if not isinstance(document, dict):
        remedy = 'Write an object by field name: {"title": "…", …}'
        raise InputError("this is no report", place=str(path), remedy=remedy)
    return document


def named(text: str, known: Mapping[str, Any], option: str) -> str:
    """One of the known names, however it is written: `amber+strict` is AMBER_STRICT."""
    name = text.strip().upper().replace("+", "_").replace("-", "_")
    if name not in known:
        raise InputError(f"{text[:40]!r} is none of {', '.join(known)}", place=option)
    return name
