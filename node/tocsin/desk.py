"""What an operator's command works with, beside a running node or without one: setting, store, keys."""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tocsin.config import Config
from tocsin.errors import ConfigError, PolicyError, SchemaError
from tocsin.flow.issue import Issue
from tocsin.flow.setting import Caps, Setting
from tocsin.light.trust_file import read_trust
from tocsin.packaged import published_schemas
from tocsin.policy.language import Policy, parse_policy, schema_of
from tocsin.report.schema import KnownSchemas, Schema, load_schema
from tocsin.signer import FileSigner
from tocsin.store.store import SqlStore
from tocsin.wire.keys import KeyUse


def now_ms() -> int:
    """Milliseconds since 1970, UTC."""
    return time.time_ns() // 1_000_000


def read_schemas(config: Config) -> KnownSchemas:
    """The published schemas and those of `schemas.extra`."""
    found: dict[str, Schema] = {schema.id: schema for schema in published_schemas()}
    for folder in config.schemas.extra:
        for file in sorted(folder.glob("*/*/*.avsc")):
            schema_id = f"{file.parts[-3]}/{file.parts[-2]}"
            try:
                schema = load_schema(schema_id, file.read_bytes())
            except SchemaError as error:
                raise ConfigError(error.thing, place=str(file), remedy=error.remedy) from error
            if found.setdefault(schema_id, schema).sha256 != schema.sha256:
                remedy = "A published file never changes (protocol section 7): give yours another name or version"
                raise ConfigError(f"there is another {schema_id} already", place=str(file), remedy=remedy)
    return KnownSchemas(found.values())


def read_policies(config: Config, schemas: KnownSchemas) -> tuple[Policy, ...]:
    """The policies; one that `policy validate` refuses is not loaded, and stops the start with its place."""
    found = []
    for entry in config.policies:
        try:
            text = entry.file.read_bytes()
            found.append(parse_policy(text, schemas.exact(schema_of(text) or "")))
        except OSError as error:
            remedy = "[[policy]] file names it: correct the name, or put the policy there"
            place = str(entry.file)
            raise ConfigError(f"the policy cannot be read ({error.strerror})", place=place, remedy=remedy) from error
        except PolicyError as error:
            raise PolicyError(error.thing, place=f"{entry.file}:{error.place}", remedy=error.remedy) from error
    return tuple(found)


def read_setting(config: Config) -> Setting:
    """Everything that the node holds true, from the files of its configuration."""
    schemas = read_schemas(config)
    caps = Caps(
        chains_per_leaf=config.limits.chains_per_leaf,
        quarantined_values=config.limits.quarantined_values,
        hold_due_ms=config.hold.due_ms,
    )
    return Setting(config.node.id, read_trust(config.trust.file), schemas, read_policies(config, schemas), caps)


def make_signer(config: Config) -> FileSigner:
    """The signer of the configured key files, not open yet."""
    keys = config.keys
    given = {KeyUse.EVENT: keys.event_passphrase, KeyUse.RELAY: keys.relay_passphrase}
    passphrases = {use: secret.read().encode() for use, secret in given.items() if secret is not None}
    return FileSigner(relay=keys.relay, event=keys.event, passphrases=passphrases)


class Desk:
    """What an operator's command works with, beside a running node or without one."""

    def __init__(self, config: Config, setting: Setting, store: SqlStore, instance: str) -> None:
        """Made by `desk`. `instance` tells the processes over one store apart."""
        self.config = config
        self.setting = setting
        self.store = store
        self.instance = instance

    async def issue(self) -> Issue:
        """The issuing of national reports; `AdapterError` where the event key is not here."""
        signer = make_signer(self.config)
        await signer.open()
        return Issue(lambda: self.setting, self.store, signer, now_ms, secrets.token_bytes)


@asynccontextmanager
async def desk(config: Config) -> AsyncIterator[Desk]:
    """Open the store, at this version's tables, and close it again."""
    setting = read_setting(config)
    config.node.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    store = SqlStore(config.store_url())
    try:
        await store.migrate()
        yield Desk(config, setting, store, _instance(config.node.data))
    finally:
        await store.close()


def _instance(folder: Path) -> str:
    """Made once per data folder, so that a restart holds what it held; another process waits for the leases to end."""
    file, new = folder / "instance", folder / "instance.new"
    if not file.exists():
        new.write_text(secrets.token_hex(4))
        new.replace(file)  # whole, or not at all
    return file.read_text().strip()


@asynccontextmanager
async def only_one(folder: Path) -> AsyncIterator[None]:
    """Hold the lock of the data folder: two nodes over one store would sign two heads for one seq."""
    descriptor = os.open(folder / "node.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise ConfigError(
            "a node is running with this data folder already",
            place=str(folder),
            remedy="Stop it first: one store is one node's, with one data folder.",
        ) from None
    try:
        yield
    finally:
        os.close(descriptor)
