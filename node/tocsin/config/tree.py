"""The whole configuration, and how it is read: the file first, all its problems at once; then what it refers to."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

from pydantic import BaseModel, Field

from tocsin.config.problems import BadConfigError, validated
from tocsin.config.tables import (
    Holds,
    Http,
    IssueRule,
    Kafka,
    Keys,
    Lab,
    Limits,
    Log,
    Node,
    Peer,
    Policy,
    Reader,
    Schemas,
    Secret,
    Store,
    Table,
    Trust,
)
from tocsin.errors import AdapterError, ConfigError
from tocsin.private_file import read_private


class Config(Table):
    """The whole tree. Paths are absolute."""

    node: Node
    store: Store
    keys: Keys
    trust: Trust
    schemas: Schemas
    policies: tuple[Policy, ...] = Field(default=(), alias="policy")
    kafka: Kafka
    peers: tuple[Peer, ...] = Field(default=(), alias="peer")
    labs: tuple[Lab, ...] = Field(default=(), alias="lab")
    readers: tuple[Reader, ...] = Field(default=(), alias="reader")
    http: Http
    limits: Limits
    hold: Holds
    issue_rules: tuple[IssueRule, ...] = Field(default=(), alias="issue")
    log: Log

    @property
    def principal(self) -> str:
        """This node's own name at its cluster."""
        return self.kafka.principal or self.node.id

    def store_url(self) -> str:
        """The store's URL with its password. `AdapterError` where that cannot be read."""
        url = self.store.url or f"sqlite:///{self.node.data / 'tocsin.db'}"
        if self.store.password is None:
            return url
        scheme, _, rest = url.partition("://")
        user, at, host = rest.rpartition("@")
        return f"{scheme}://{user}:{quote(self.store.password.read(), safe='')}{at}{host}"


def load(path: Path) -> Config:
    """Read and check the file, and nothing else. `BadConfigError` with all its problems."""
    return validated(Config, path)


def differing(one: Config, other: Config) -> list[str]:
    """The tables in which two configurations differ, as they are written: [store], [[peer]]."""
    found = []
    for name, field in Config.model_fields.items():
        mine, key = getattr(one, name), field.alias or name
        if mine != getattr(other, name):
            found.append(f"[[{key}]]" if isinstance(mine, tuple) else f"[{key}]")
    return found


def check_files(config: Config) -> None:
    """Look at every file and secret that the configuration refers to; `BadConfigError` with all that is wrong."""
    found: list[ConfigError] = []
    for place, value in _references(config, ""):
        try:
            _look(place, value)
        except AdapterError as error:
            found.append(ConfigError(f"{error.place}: {error.thing}", place=place, remedy=error.remedy))
    if found:
        raise BadConfigError(found)


def _look(place: str, value: Path | Secret) -> None:
    if isinstance(value, Secret):
        value.read()
    elif place.endswith((".relay", ".event", ".key")):
        read_private(value)
    elif place != "node.data" and not os.access(value, os.R_OK):  # the node makes that folder
        remedy = "Put it there, readable by the node's user, or correct the path"
        raise AdapterError("there is nothing that can be read", place=str(value), remedy=remedy)


def _references(table: BaseModel, place: str) -> list[tuple[str, Path | Secret]]:
    """Every path and secret in the tree, with its place."""
    found: list[tuple[str, Path | Secret]] = []
    for name, field in type(table).model_fields.items():
        value, at = getattr(table, name), f"{place}{field.alias or name}"
        for item in value if isinstance(value, tuple) else (value,):
            here = f"{at}[{item.id}]" if isinstance(value, tuple) and hasattr(item, "id") else at
            if isinstance(item, Path | Secret):
                found.append((here, item))
            elif isinstance(item, BaseModel):
                found += _references(item, f"{here}.")
    return found
