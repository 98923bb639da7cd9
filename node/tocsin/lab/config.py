"""The configuration of a lab's client: one TOML file, one frozen tree."""

from __future__ import annotations

from pathlib import Path

from tocsin.config.problems import validated
from tocsin.config.tables import Keys, Table
from tocsin.config.values import File, PartyId
from tocsin.light.config import Client


class Lab(Table):
    """Who reports."""

    id: PartyId
    """The lab's party id, as in the trust view. No default."""
    spool: File = Path("spool.db")
    """The file that keeps every report and every receipt; one running client each. Default: spool.db."""


class LabKeys(Keys):
    """The lab's private keys: Ed25519, PKCS#8 PEM, mode 0600. The relay key signs the hop to the institute."""

    event: File = Path("keys/event.pem")
    """Signs the reports. Default: keys/event.pem."""


class LabConfig(Client):
    """The whole tree. Paths are absolute."""

    lab: Lab
    keys: LabKeys


def load(path: Path) -> LabConfig:
    """Read and check the file, and nothing else. `BadConfigError` with all its problems."""
    return validated(LabConfig, path)
