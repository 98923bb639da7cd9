"""What a lab and a reader of the small federation (tests/crash/world.py) have on their disks, and how they reach it."""

import json
import re

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.crash.world import seeded, trust_document

from tocsin.light.topic import Carriage
from tocsin.memory import MemoryReader, MemoryWriter
from tocsin.wire.keys import KeyUse

REPORT = {"title": "Agent deleted a production database", "severity": 2, "severity_assessed_by": "frontier"}


def enrol(folder, bootstrap="127.0.0.1:9092", lab="frontier"):
    """The lab's files: keys, trust view, lab.toml; returns the latter. Whatever its name, its keys are frontier's."""
    for use in (KeyUse.EVENT, KeyUse.RELAY):
        private = Ed25519PrivateKey.from_private_bytes(seeded(f"frontier/{use}"))
        path = folder / f"{use}.pem"
        path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        path.chmod(0o600)
    write_trust(folder, lab=lab)
    path = folder / "lab.toml"
    path.write_text(
        f'[lab]\nid = "{lab}"\n[node]\nid = "gb"\n[keys]\nevent = "event.pem"\nrelay = "relay.pem"\n'
        f'[trust]\nfile = "trust.json"\n[kafka]\nbootstrap = "{bootstrap}"\n'
    )
    return path


def subscribe(folder, bootstrap="127.0.0.1:9092", audience="jp", more=""):
    """The reader's files: trust view, reader.toml; returns the latter."""
    write_trust(folder)
    path = folder / "reader.toml"
    path.write_text(
        f'[reader]\naudience = "{audience}"\n{more}[node]\nid = "gb"\n'
        f'[trust]\nfile = "trust.json"\n[kafka]\nbootstrap = "{bootstrap}"\n'
    )
    return path


def write_trust(folder, version=1, without=(), lab="frontier", **changed):
    """The trust view of the federation, of that version, without the keys of some parties; a new file each time."""
    document = trust_document(**changed) | {"version": version}
    for party in document["parties"]:
        if party["party"] in without:
            party["keys"] = []
        if party["kind"] == "LAB":
            party["party"] = lab
    fresh = folder / "trust.json.new"
    fresh.write_text(json.dumps(document))
    fresh.rename(folder / "trust.json")


def in_memory(broker, faults=None):
    """The carriage over the in-memory twins."""
    return Carriage(lambda: MemoryWriter(broker, faults), lambda topic: MemoryReader(broker, topic, faults))


def indented(docstring, begin):
    """The indented block of a docstring whose first line begins so, as text."""
    match = re.search(rf"^    {re.escape(begin)}.*?(?=^\S|\Z)", docstring, re.MULTILINE | re.DOTALL)
    return re.sub(r"^    ", "", match[0], flags=re.MULTILINE)
