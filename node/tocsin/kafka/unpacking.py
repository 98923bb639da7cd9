"""A bound on what a compressed batch unpacks to.

A peer's broker decides what it serves: 8 kB of zstd unpack to 256 MiB in the client library (measured), and what a
fetch may bring is counted before unpacking. A batch that would grow beyond the bound cannot be decoded, and is dealt
with like any other that cannot.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cramjam
from aiokafka.record import _crecords, default_records

LARGEST = 2 * 1024 * 1024
"""Topics hold records of at most 1 MiB, in batches of at most 1 MiB, mostly uncompressed; a reader has up to 64 records
in hand, and each may be such a batch."""


def bound_unpacking() -> None:
    """Put the bound into the library's two decoders, the compiled one and the other. Doing it again changes nothing."""
    for module in (_crecords.default_records, default_records):
        for name, codec in (("zstd", cramjam.zstd), ("gzip", cramjam.gzip), ("lz4", cramjam.lz4)):
            setattr(module, f"{name}_decode", _bounded(codec))


def _bounded(codec: Any) -> Callable[[Any], bytes]:
    def decode(payload: Any) -> bytes:
        room = bytearray(LARGEST)
        return bytes(memoryview(room)[: codec.decompress_into(bytes(payload), room)])

    return decode
