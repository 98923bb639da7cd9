"""Keys in files: what is not private is not used, and what is signed verifies by protocol section 1."""

import re
import stat

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tocsin.errors import AdapterError
from tocsin.flow.ports import Signer
from tocsin.signer import FileSigner, fingerprint, generate
from tocsin.wire.keys import KeyUse, key_id, verify_signature


async def opened(**arguments) -> FileSigner:
    signer = FileSigner(**arguments)
    await signer.open()
    return signer


async def test_a_signature_verifies_under_the_public_key_that_generate_returned(tmp_path):
    publics = {use: generate(tmp_path / use, None) for use in (KeyUse.EVENT, KeyUse.RELAY)}
    signer: Signer = await opened(relay=tmp_path / "relay", event=tmp_path / "event")
    for use, public in publics.items():
        assert verify_signature(public, b"words", await signer.sign(use, b"words"))
        assert signer.key_id(use) == key_id(1, use, public)


async def test_the_public_part_and_the_uses_are_told(tmp_path):
    public = generate(tmp_path / "relay", None)
    signer = await opened(relay=tmp_path / "relay")
    assert signer.uses() == {KeyUse.RELAY}
    assert signer.public(KeyUse.RELAY) == public


async def test_an_encrypted_key_needs_its_passphrase_and_no_other(tmp_path):
    public = generate(tmp_path / "relay", b"three words long")
    assert b"ENCRYPTED" in (tmp_path / "relay").read_bytes()
    signer = await opened(relay=tmp_path / "relay", passphrases={KeyUse.RELAY: b"three words long"})
    assert signer.public(KeyUse.RELAY) == public
    with pytest.raises(AdapterError, match="passphrase is wrong"):
        await opened(relay=tmp_path / "relay", passphrases={KeyUse.RELAY: b"three words"})
    with pytest.raises(AdapterError, match="encrypted"):
        await opened(relay=tmp_path / "relay")


async def test_a_passphrase_for_a_plain_key_is_refused(tmp_path):
    generate(tmp_path / "relay", None)
    with pytest.raises(AdapterError, match="not encrypted"):
        await opened(relay=tmp_path / "relay", passphrases={KeyUse.RELAY: b"x"})


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o610, 0o602, 0o644, 0o666])
async def test_a_key_that_others_may_touch_is_refused_with_the_remedy(tmp_path, mode):
    generate(tmp_path / "relay", None)
    (tmp_path / "relay").chmod(mode)
    with pytest.raises(AdapterError, match=f"chmod 600 {re.escape(str(tmp_path / 'relay'))}"):
        await opened(relay=tmp_path / "relay")


def test_a_generated_key_is_private_from_its_first_byte_and_overwrites_nothing(tmp_path):
    generate(tmp_path / "relay", None)
    assert stat.S_IMODE((tmp_path / "relay").stat().st_mode) == 0o600
    before = (tmp_path / "relay").read_bytes()
    with pytest.raises(AdapterError, match="never overwritten"):
        generate(tmp_path / "relay", None)
    assert (tmp_path / "relay").read_bytes() == before


async def test_one_key_for_two_uses_is_refused(tmp_path):
    generate(tmp_path / "relay", None)
    (tmp_path / "event").write_bytes((tmp_path / "relay").read_bytes())
    (tmp_path / "event").chmod(0o600)
    with pytest.raises(AdapterError, match="never serves two uses"):
        await opened(relay=tmp_path / "relay", event=tmp_path / "event")


async def test_without_an_event_key_only_what_needs_it_fails(tmp_path):
    generate(tmp_path / "relay", None)
    signer = await opened(relay=tmp_path / "relay")
    assert len(await signer.sign(KeyUse.RELAY, b"")) == 64
    with pytest.raises(AdapterError, match="no event key") as caught:
        await signer.sign(KeyUse.EVENT, b"")
    assert caught.value.remedy
    with pytest.raises(AdapterError, match="no event key"):
        signer.key_id(KeyUse.EVENT)


async def test_what_is_no_ed25519_key_is_refused(tmp_path):
    other = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for content, words in ((other, "not an Ed25519"), (b"not a key", "no private key"), (b"", "no private key")):
        (tmp_path / "relay").write_bytes(content)
        (tmp_path / "relay").chmod(0o600)
        with pytest.raises(AdapterError, match=words):
            await opened(relay=tmp_path / "relay")


async def test_a_missing_file_or_a_folder_is_said(tmp_path):
    with pytest.raises(AdapterError, match="No such file"):
        await opened(relay=tmp_path / "relay")
    with pytest.raises(AdapterError, match="no file"):
        await opened(relay=tmp_path)


async def test_nothing_is_signed_before_the_files_are_open(tmp_path):
    generate(tmp_path / "relay", None)
    with pytest.raises(AdapterError, match="not open"):
        await FileSigner(relay=tmp_path / "relay").sign(KeyUse.RELAY, b"")


def test_a_fingerprint_is_eight_groups_of_four():
    assert fingerprint(bytes(range(16))) == "0001 0203 0405 0607 0809 0a0b 0c0d 0e0f"
