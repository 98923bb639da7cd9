"""Everything that the countries keep on disk before they start: keys, trust views, policies, configurations.

gb/tocsin.toml  keys/  secrets/  policies/  trust.json  data/     the node
gb/kafka/                                                         its cluster, with its certificate authority
gb/lab/lab.toml  keys/  secrets/                                  its lab
gb/readers/public.toml                                            whoever reads one of its streams
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import time
from collections.abc import Mapping
from pathlib import Path

from deploy.demo.brokers import SUPERUSER
from deploy.demo.clusters import Clusters
from deploy.demo.countries import Country

from tocsin.kafka.dev import DevKafka
from tocsin.signer import generate
from tocsin.wire.keys import KeyUse

_DAY_MS = 86_400_000


class Prepared:
    """The state folder with everything in it. `make` writes it; the rest says where what is."""

    def __init__(self, folder: Path, countries: tuple[Country, ...]) -> None:
        self.folder = folder
        self.countries = countries
        self.http = dict(zip((country.id for country in countries), _free_ports(len(countries)), strict=True))
        self.passwords = {country.lab: secrets.token_urlsafe(24) for country in countries}

    def home(self, country: str) -> Path:
        """The folder of a country."""
        return self.folder / country

    def node_file(self, country: str) -> Path:
        """The configuration of its node."""
        return self.home(country) / "tocsin.toml"

    def lab_file(self, country: str) -> Path:
        """The configuration of its lab's client."""
        return self.home(country) / "lab" / "lab.toml"

    def reader_file(self, country: str, audience: str) -> Path:
        """The configuration of one reader's client."""
        return self.home(country) / "readers" / f"{audience}.toml"

    def keys(self) -> None:
        """Keys of institutes (encrypted) and labs, policies, and the trust view that all of them pin."""
        parties = []
        for country in self.countries:
            home = self.home(country.id)
            _write(home / "policies" / "incident.toml", country.policy.decode())
            institute = {use: _key(home, use, encrypted=True) for use in (KeyUse.EVENT, KeyUse.RELAY)}
            lab = {use: _key(home / "lab", use, encrypted=False) for use in (KeyUse.EVENT, KeyUse.RELAY)}
            parties += [_party(country.id, "MEMBER", country, institute), _party(country.lab, "LAB", country, lab)]
            parties += [
                _party(reader.id, reader.kind.value, country, {}) for reader in country.readers if not reader.is_group
            ]
        trust = json.dumps({"version": 1, "parties": parties}, indent=1)
        for country in self.countries:
            _write(self.home(country.id) / "trust.json", trust)

    def configurations(self, clusters: Clusters) -> None:
        """The files of nodes, labs and readers; the brokers have begun to run, since their ports stand in them."""
        for country in self.countries:
            home, own = self.home(country.id), clusters.kafkas[country.id]
            peers = {peer: clusters.kafkas[peer] for peer in country.peers}
            _write(self.node_file(country.id), _node(country, own, peers, self.http[country.id]))
            _secret(home / "lab" / "secrets" / "kafka", self.passwords[country.lab])
            _write(self.lab_file(country.id), _lab(country, own))
            for reader in country.readers:
                _write(self.reader_file(country.id, reader.id), _reader(country, reader.id, own))


def principal(audience: str) -> str:
    """The name on the certificate of the reader of a stream."""
    return f"reader-{audience}"


def _node(country: Country, own: DevKafka, peers: Mapping[str, DevKafka], port: int) -> str:
    tables = [
        f'[node]\nid = "{country.id}"\njurisdiction = "{country.jurisdiction}"',
        '[keys]\nrelay = "keys/relay.pem"\nrelay_passphrase = { file = "secrets/relay" }\n',
        'event = "keys/event.pem"\nevent_passphrase = { file = "secrets/event" }',
        '[[policy]]\nfile = "policies/incident.toml"',
        f'[kafka]\n{_mtls(own, country.id)}\nprincipal = "{country.id}"\noperators = ["{SUPERUSER}"]',
        f'[http]\nlisten = "127.0.0.1:{port}"',
    ]
    tables += [f'[[peer]]\nid = "{peer}"\n{_mtls(kafka, country.id)}' for peer, kafka in peers.items()]
    tables += [f'[[lab]]\nid = "{country.lab}"']
    tables += [f'[[reader]]\nid = "{peer}"' for peer in peers]
    tables += [
        f'[[reader]]\nid = "{reader.id}"\naudience = "{reader.id}"\nprincipal = "{principal(reader.id)}"'
        for reader in country.readers
    ]
    return "\n\n".join(tables) + "\n"


def _lab(country: Country, own: DevKafka) -> str:
    return (
        f'[lab]\nid = "{country.lab}"\n\n[node]\nid = "{country.id}"\n\n[keys]\nevent = "keys/event.pem"\n'
        f'relay = "keys/relay.pem"\n\n[trust]\nfile = "../trust.json"\n\n[kafka]\nbootstrap = "{own.labs_bootstrap}"\n'
        f'security = "scram"\nca = "{own.pki.ca}"\nusername = "{country.lab}"\n'
        'password = { file = "secrets/kafka" }\n'
    )


def _reader(country: Country, audience: str, own: DevKafka) -> str:
    return (
        f'[reader]\naudience = "{audience}"\nstate = "{audience}.db"\n\n[node]\nid = "{country.id}"\n\n'
        f'[trust]\nfile = "../trust.json"\n\n[kafka]\n{_mtls(own, principal(audience))}\n'
    )


def _mtls(kafka: DevKafka, name: str) -> str:
    """A cluster as the holder of its certificate for `name` reaches it."""
    pair = kafka.pki.client(name)
    return (
        f'bootstrap = "{kafka.bootstrap}"\nsecurity = "mtls"\nca = "{kafka.pki.ca}"\n'
        f'certificate = "{pair.certificate}"\nkey = "{pair.key}"'
    )


def _key(home: Path, use: KeyUse, *, encrypted: bool) -> bytes:
    """A new key; its passphrase, if it has one, beside it in a file of mode 0600. Returns the public key."""
    (home / "keys").mkdir(parents=True, exist_ok=True, mode=0o700)
    passphrase = secrets.token_urlsafe(24) if encrypted else ""
    if encrypted:
        _secret(home / "secrets" / use.value, passphrase)
    return generate(home / "keys" / f"{use.value}.pem", passphrase.encode() or None)


def _party(name: str, kind: str, country: Country, keys: Mapping[KeyUse, bytes]) -> dict[str, object]:
    """A party of the trust view; its keys hold from yesterday for a year."""
    now_ms = time.time_ns() // 1_000_000
    window = {"not_before_ms": now_ms - _DAY_MS, "not_after_ms": now_ms + 365 * _DAY_MS, "revoked_at_ms": None}
    records = [{"use": use.value, "suite": 1, "public_hex": public.hex(), **window} for use, public in keys.items()]
    return {"party": name, "kind": kind, "jurisdiction": country.jurisdiction, "keys": records}


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.write_text(text, encoding="utf-8")


def _secret(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)


def _free_ports(count: int) -> list[int]:
    """Free ports for the pages of the nodes, held open together so that they differ."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()
