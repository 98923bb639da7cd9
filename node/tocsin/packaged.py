"""The files under schemas/, from the installed package or, in a checkout, from the repository."""

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final

from tocsin.report.schema import KnownSchemas, Schema, load_schema

PUBLISHED: Final = ("incident/1.0",)
"""Every version ever published: their files never change (protocol section 7)."""


def packaged(path: str) -> bytes:
    """The bytes of a file by its path under schemas/, such as `region-1.csv`; FileNotFoundError if it is not there."""
    installed = files("tocsin") / "schemas"
    if installed.is_dir():
        return (installed / path).read_bytes()
    return (Path(__file__).parents[2] / "schemas" / path).read_bytes()


@cache
def published_schemas() -> KnownSchemas:
    """All published schemas of reports."""
    return KnownSchemas(_load(schema_id) for schema_id in PUBLISHED)


def _load(schema_id: str) -> Schema:
    name = schema_id.partition("/")[0]
    return load_schema(schema_id, packaged(f"{schema_id}/{name}.avsc"))
