"""The values of the configuration: each with the one rule that it keeps, and the remedy where it does not."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

from tocsin.config.problems import Wrong
from tocsin.wire.header import Tlp
from tocsin.wire.keys import is_party_id

LARGEST_ENVELOPE = 262_144
"""Bytes (protocol section 2): a quota below it would stop a source for ever."""
LONGEST_RETENTION = 90
"""Days that a topic may keep a record (design 2)."""

_DURATION = re.compile(r"P(0|[1-9][0-9]{0,3})D|PT(0|[1-9][0-9]{0,3})H")
_HOUR_MS = 3_600_000


def _file(path: Path, info: ValidationInfo) -> Path:
    if "-----BEGIN" in str(path):
        raise Wrong("a key stands in the configuration", "Put it into a file of mode 0600, and name the file here")
    return _folder(info) / path


def _folder(info: ValidationInfo) -> Path:
    """The folder of the configuration file, to which relative paths are relative."""
    folder: Path = info.context["folder"] if info.context else Path()
    return folder


def _party(text: str) -> str:
    if not is_party_id(text):
        raise Wrong(
            f"{text[:40]!r} is no party id", "1 to 32 of a-z, 0-9 and - (not at an end); not public, community-…"
        )
    return text


def _audience(text: str) -> str:
    """A party id, public, or community- and a name (protocol section 3)."""
    if text == "public" or re.fullmatch(r"community-[a-z0-9-]{1,32}", text):
        return text
    return _party(text)


def _tlp(name: Any) -> Tlp:
    """A TLP by its name."""
    if isinstance(name, Tlp):
        return name
    if isinstance(name, str) and name in Tlp.__members__:
        return Tlp[name]
    raise Wrong("this is no TLP", "Write one of " + ", ".join(Tlp.__members__))


def _address(text: str) -> str:
    """HOST:PORT."""
    host, _, port = text.rpartition(":")
    if not host or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65_535:
        raise Wrong(f"{text[:80]!r} is no address", "Write HOST:PORT, as in 127.0.0.1:9092")
    return text


def _addresses(text: str) -> str:
    """HOST:PORT, or several of them with commas between."""
    if "@" in text:  # before it is taken apart: what stands before may be a password, with any character in it
        raise Wrong("an address holds no user and no password", "Write HOST:PORT, and the user in username")
    return ",".join(_address(one.strip()) for one in text.split(","))


def is_loopback(host: str) -> bool:
    """Whether what is sent to that host never leaves the machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _duration(text: str) -> str:
    """PnD or PTnH, as in policies (design 4)."""
    if not _DURATION.fullmatch(text):
        raise Wrong(f"{text[:40]!r} is no duration", "Write PnD or PTnH, n up to 9999, as in PT24H or P7D")
    return text


def duration_ms(text: str) -> int:
    """Milliseconds of such a duration."""
    return int(text.strip("PTDH")) * (_HOUR_MS if "T" in text else 24 * _HOUR_MS)


def _store_url(url: str, info: ValidationInfo) -> str:
    """A SQLite file, made absolute, or a PostgreSQL database; no password in it."""
    parts = urlsplit(url)
    if parts.scheme not in {"sqlite", "postgresql"}:
        raise Wrong("the store is neither SQLite nor PostgreSQL", "Write postgresql://USER@HOST/NAME or sqlite:///FILE")
    if parts.password is not None or "password" in parts.query.lower():
        raise Wrong(
            "a password stands in the URL", "Take it out, change it, and refer to the new one in store.password"
        )
    if parts.scheme == "postgresql":
        return url
    if not url.startswith("sqlite:///") or len(parts.path) == 1:
        raise Wrong("the URL names no file", "Write sqlite:///FILE, or sqlite:////FILE for an absolute path")
    return f"sqlite:///{_folder(info) / parts.path[1:]}"


File = Annotated[Path, AfterValidator(_file)]
"""A path, made absolute."""
PartyId = Annotated[str, AfterValidator(_party)]
Audience = Annotated[str, AfterValidator(_audience)]
TlpName = Annotated[Tlp, BeforeValidator(_tlp)]
Address = Annotated[str, AfterValidator(_address)]
RetentionDays = Annotated[int, Field(strict=True, ge=1, le=LONGEST_RETENTION)]
Addresses = Annotated[str, AfterValidator(_addresses)]
Duration = Annotated[str, AfterValidator(_duration)]
StoreUrl = Annotated[str, AfterValidator(_store_url)]
Count = Annotated[int, Field(strict=True, ge=1)]
