"""The trust view by which a command verifies, also where there is no node."""

from __future__ import annotations

from pathlib import Path

from tocsin.cli.output import OPTIONS
from tocsin.config import load
from tocsin.light.trust_file import read_trust
from tocsin.wire.keys import TrustView


def known_trust(given: Path | None) -> TrustView:
    """The trust view that is given, or the node's own. `TrustError` with the file as its place."""
    return read_trust(given if given is not None else load(OPTIONS.config).trust.file)
