"""Private keys in files: Ed25519 in PKCS#8 PEM, encrypted or plain, mode 0600. The first adapter of `ports.Signer`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from tocsin.errors import AdapterError
from tocsin.private_file import read_private
from tocsin.wire.keys import SUITE_ED25519_SHA256, KeyUse, key_id


def generate(path: Path, passphrase: bytes | None) -> bytes:
    """Make a new key in a new file of mode 0600; returns the 32 bytes of its public key.

    Never overwrites: a key that is gone cannot be had again. `AdapterError` where the file is there already or cannot be
    written.
    """
    private = Ed25519PrivateKey.generate()
    lock: KeySerializationEncryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(descriptor)
    except FileExistsError as error:
        remedy = "A key is never overwritten: choose another file, or move this one away first"
        raise AdapterError("there is a file already", place=str(path), remedy=remedy) from error
    except OSError as error:
        remedy = "Look at the disk, and let the user that runs this write in that folder"
        raise AdapterError(f"the key cannot be written ({error.strerror})", place=str(path), remedy=remedy) from error
    return private.public_key().public_bytes_raw()


def fingerprint(key: bytes) -> str:
    """A key id (16 bytes) to be read aloud: eight groups of four hexadecimal digits."""
    text = key.hex()
    return " ".join(text[at : at + 4] for at in range(0, len(text), 4))


class FileSigner:
    """`ports.Signer` over key files. Construct, `open`, `sign` as often as needed.

    The event key may live off the node (design 2): then whatever needs it is an `AdapterError`, and all else works.
    """

    def __init__(
        self, *, relay: Path, event: Path | None = None, passphrases: Mapping[KeyUse, bytes] | None = None
    ) -> None:
        """No I/O. `passphrases` by use, for the files that are encrypted."""
        self._files = {KeyUse.RELAY: relay} | ({KeyUse.EVENT: event} if event is not None else {})
        self._passphrases = dict(passphrases or {})
        self._keys: dict[KeyUse, Ed25519PrivateKey] = {}
        self._ids: dict[KeyUse, bytes] = {}

    async def open(self) -> None:
        """Read and decrypt the files; `AdapterError` for each reason why one cannot be used."""
        # In a thread, since a passphrase costs a good part of a second on purpose.
        keys = {
            use: await asyncio.to_thread(_load, path, self._passphrases.get(use)) for use, path in self._files.items()
        }
        publics = {use: key.public_key().public_bytes_raw() for use, key in keys.items()}
        if len(set(publics.values())) < len(publics):
            places = " and ".join(str(path) for path in self._files.values())
            raise AdapterError(
                "a key never serves two uses",
                place=places,
                remedy="Make a second key: openssl genpkey -algorithm ed25519",
            )
        self._ids = {use: key_id(SUITE_ED25519_SHA256, use, public) for use, public in publics.items()}
        self._keys = keys

    def uses(self) -> frozenset[KeyUse]:
        """The uses whose keys are open."""
        return frozenset(self._keys)

    def key_id(self, use: KeyUse) -> bytes:
        """The 16-byte id of the key of that use; `AdapterError` where the node has none."""
        self._key(use)
        return self._ids[use]

    def public(self, use: KeyUse) -> bytes:
        """The 32 bytes of the public key of that use; `AdapterError` where the node has none."""
        return self._key(use).public_key().public_bytes_raw()

    async def sign(self, use: KeyUse, message: bytes) -> bytes:
        """The 64-byte signature; `AdapterError` where the node has no key of that use."""
        return self._key(use).sign(message)

    def _key(self, use: KeyUse) -> Ed25519PrivateKey:
        if use in self._keys:
            return self._keys[use]
        if use in self._files:
            raise AdapterError(f"the {use} key is not open yet", place=str(self._files[use]))
        raise AdapterError(
            f"this node has no {use} key",
            place=f"keys.{use}",
            remedy=f"Name its file in the configuration, or do this where the {use} key is kept",
        )


def _load(path: Path, passphrase: bytes | None) -> Ed25519PrivateKey:
    raw = read_private(path)
    try:
        key = load_pem_private_key(raw, passphrase)
    except TypeError as error:  # the library's word for a passphrase too many or one too few
        if passphrase is None:
            remedy = "Name its passphrase in the configuration, by file or environment"
            raise AdapterError("the key is encrypted", place=str(path), remedy=remedy) from error
        remedy = "Take the passphrase out of the configuration, or encrypt the key"
        raise AdapterError("the key is not encrypted, but has a passphrase", place=str(path), remedy=remedy) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        thing = "this is no private key in PEM" + (", or the passphrase is wrong" if passphrase is not None else "")
        remedy = "Look at the passphrase first; the file begins with -----BEGIN and PRIVATE KEY-----"
        raise AdapterError(thing, place=str(path), remedy=remedy) from error
    if not isinstance(key, Ed25519PrivateKey):
        remedy = "Make one by `tocsin init` in another folder, or openssl genpkey -algorithm ed25519"
        raise AdapterError("the key is not an Ed25519 key", place=str(path), remedy=remedy)
    return key
