"""A small certificate authority for development and the demo. Never for a real network.

Its root key lies unprotected beside what it signs. Certificates name a party by CN alone, as the broker's mapping rule
expects (deploy/kafka/secured.properties).
"""

import ipaddress
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_YEAR = timedelta(days=365)
_USES = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])


@dataclass(frozen=True, slots=True)
class Pair:
    """Two PEM files: a certificate with its chain, and its PKCS#8 key (mode 0600)."""

    certificate: Path
    key: Path


class DevelopmentPki:
    """A certificate authority in a folder: made when it is first used, the same one ever after."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def ca(self) -> Path:
        """The root certificate, PEM."""
        self._root()
        return self.folder / "ca.pem"

    def client(self, name: str) -> Pair:
        """The certificate of a party with that CN; the same one for the same name."""
        pair = Pair(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        if not pair.key.exists():
            certificate, key = self._sign(name, x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), ())
            _write(pair.certificate, certificate)
            _write(pair.key, key)
        return pair

    def broker(self, name: str = "broker") -> Path:
        """The broker's key and chain in one PEM file, as Kafka wants it: for 127.0.0.1 and localhost, both directions."""
        path = self.folder / f"{name}.server.pem"
        if not path.exists():
            names = (x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost"))
            certificate, key = self._sign(name, _USES, names)
            _write(path, key + certificate)
        return path

    def _sign(self, name: str, use: x509.ExtendedKeyUsage, names: tuple[x509.GeneralName, ...]) -> tuple[bytes, bytes]:
        root, root_key = self._root()
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(name, root.subject, key).add_extension(use, critical=False)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key())
        builder = builder.add_extension(issuer, critical=False)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate = builder.sign(root_key, hashes.SHA256())
        return _pem(certificate) + _pem(root), _key_pem(key)

    def _root(self) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        certificate_path, key_path = self.folder / "ca.pem", self.folder / "ca.key"
        if not certificate_path.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            key = ec.generate_private_key(ec.SECP256R1())
            name = "tocsin development only"
            builder = _builder(name, _name(name), key)
            builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            _write(key_path, _key_pem(key))
            _write(certificate_path, _pem(builder.sign(key, hashes.SHA256())))
        root_key = serialization.load_pem_private_key(key_path.read_bytes(), None)
        assert isinstance(root_key, ec.EllipticCurvePrivateKey)  # noqa: S101 - this file wrote it
        return x509.load_pem_x509_certificate(certificate_path.read_bytes()), root_key


def _builder(name: str, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + _YEAR)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def _write(path: Path, data: bytes) -> None:
    """Write a file that only its owner may read, from its first byte on."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
