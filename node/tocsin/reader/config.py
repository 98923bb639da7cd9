"""The configuration of a reader's client: one TOML file, one frozen tree."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from tocsin.config.problems import validated
from tocsin.config.tables import Table
from tocsin.config.values import Audience, File
from tocsin.light.config import Client


class Stream(Table):
    """Which stream is read, and where it is remembered how far."""

    audience: Audience
    """Whose stream: the reader's own party id, public, or community-NAME. No default."""
    state: File = Path("reader.db")
    """The file that keeps the position and what is held; one running client each. Default: reader.db."""
    exercises: Literal["drop", "only"] = "drop"
    """drop: drills are counted and not shown; only: drills are shown and nothing else. Default: drop."""


class ReaderConfig(Client):
    """The whole tree. Paths are absolute."""

    reader: Stream


def load(path: Path) -> ReaderConfig:
    """Read and check the file, and nothing else. `BadConfigError` with all its problems."""
    return validated(ReaderConfig, path)
