"""The files that commands write: new ones never over old ones, old ones whole or not at all, checked before."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import tomlkit
from tomlkit.exceptions import TOMLKitError

from tocsin.config import BadConfigError
from tocsin.errors import ConfigError, InputError, TrustError
from tocsin.foreign_file import read_foreign
from tocsin.signer import fingerprint
from tocsin.trust import load_parties, load_trust, replaces
from tocsin.wire.keys import Party

C = TypeVar("C")

RECORD = ".party.json"
_WRITABLE = "Look at the disk, and let the user that runs this write in that folder"


def require_absent(paths: Sequence[Path]) -> None:
    """`InputError` with every file that is there already: nothing is ever overwritten."""
    there = [str(path) for path in paths if path.exists()]
    if there:
        remedy = "Nothing is overwritten: move them away, or choose another folder"
        raise InputError("there are files already", place=", ".join(there), remedy=remedy)


def write_new(path: Path, text: str, mode: int = 0o644) -> None:
    """A new file, whole or not at all; its folder is made where it is missing."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
        except OSError:  # half a file would be in the way of the next try
            path.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise InputError(f"the file cannot be written ({error.strerror})", place=str(path), remedy=_WRITABLE) from error


def write_whole(path: Path, text: str) -> None:
    """A file with that text, in place of the one that is there: whole, or as if nothing had been written."""
    _beside(path, text).replace(path)


def edit_config(
    path: Path,
    change: Callable[[tomlkit.TOMLDocument], None],
    load: Callable[[Path], C],
    *,
    first: Callable[[], None] | None = None,
) -> C:
    """Change a TOML file and keep its comments; written only if it loads. Returns the new configuration.

    `first` is done once the change is known to be good, and before it is written. `BadConfigError` with every problem
    that the change would make.
    """
    load(path)
    document = tomlkit.parse(path.read_text(encoding="utf-8"))
    try:
        change(document)
    except TOMLKitError as error:
        remedy = "Make the change by hand"
        raise ConfigError(f"the file cannot be changed ({error})", place=str(path), remedy=remedy) from error
    fresh = _beside(path, tomlkit.dumps(document))
    try:
        loaded = load(fresh)
        if first is not None:
            first()
        fresh.replace(path)
    except BadConfigError as bad:
        raise BadConfigError(
            ConfigError(p.thing, place=p.place.replace(str(fresh), str(path)), remedy=p.remedy) for p in bad.problems
        ) from bad
    finally:
        fresh.unlink(missing_ok=True)
    return loaded


def read_record(path: Path) -> dict[str, Any]:
    """A public party record, as `tocsin init` writes it and peers hand it over. `TrustError` where it breaks a rule."""
    record = read_foreign(path, "the party record", remedy=f"Give the NAME{RECORD} that the party handed over")
    try:
        load_parties([record])
    except TrustError as error:
        raise TrustError(error.thing, place=f"{path}: {error.place}", remedy=error.remedy) from error
    return dict(record)


def party_of(record: Mapping[str, Any]) -> Party:
    """The party of a record that was read by `read_record`."""
    return next(iter(load_parties([record]).parties.values()))


def with_party(document: Mapping[str, Any], record: Mapping[str, Any]) -> dict[str, Any]:
    """The trust document with that party; of a party that it knows, the record's word on keys wins and old keys stay.

    Old keys stay because what they signed must verify later too. The same document where nothing changes.
    """
    parties = [dict(party) for party in document["parties"]]
    known = next((party for party in parties if party["party"] == record["party"]), None)
    if known is None:
        parties.append(dict(record))
    else:
        for name in ("kind", "jurisdiction"):
            if known[name] != record[name]:
                raise TrustError(
                    f"the trust view has {known[name]} as its {name}, the record {record[name]}",
                    place=str(record["party"]),
                    remedy="One party has one kind and one jurisdiction: ask the party which is right",
                )
        named = {key["public_hex"] for key in record["keys"]}
        known["keys"] = [key for key in known["keys"] if key["public_hex"] not in named] + list(record["keys"])
    return _next(document, parties)


def without_party(document: Mapping[str, Any], party: str) -> dict[str, Any]:
    """The trust document without that party."""
    return _next(document, [dict(one) for one in document["parties"] if one["party"] != party])


def _next(document: Mapping[str, Any], parties: list[dict[str, Any]]) -> dict[str, Any]:
    if parties == document["parties"]:
        return dict(document)
    return {"version": document["version"] + 1, "parties": parties}


def replace_trust(path: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Put a later trust view in place of the old one, whole; nothing where they are the same."""
    if new == old:
        return
    replaces(load_trust(old), load_trust(new))
    write_whole(path, trust_text(new))


def trust_text(document: Mapping[str, Any]) -> str:
    """A trust view or a party record as it is written."""
    return json.dumps(document, indent=2) + "\n"


def read_aloud(party: Party) -> list[str]:
    """One line per key of a party, to be read over the telephone."""
    return [f"{key.use.value:<5}  {fingerprint(key.key_id)}" for key in party.keys] or ["it has no keys: it only reads"]


def as_written(path: Path, config: Path) -> str:
    """A path as it stands in a configuration: relative to its folder where it lies within."""
    absolute, folder = path.absolute(), config.absolute().parent
    return str(absolute.relative_to(folder)) if absolute.is_relative_to(folder) else str(absolute)


def _beside(path: Path, text: str) -> Path:
    """A file with that text beside `path`, of the same mode, on the disk."""
    fresh = path.with_name(f".{path.name}.new")
    try:
        with fresh.open("w", encoding="utf-8") as file:
            if path.exists():
                shutil.copymode(path, fresh)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise InputError(
            f"the file cannot be written ({error.strerror})", place=str(fresh), remedy=_WRITABLE
        ) from error
    return fresh
