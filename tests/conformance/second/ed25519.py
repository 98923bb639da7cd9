"""Ed25519 as section 1 of the protocol narrows it, by arithmetic of its own on edwards25519."""

from __future__ import annotations

import hashlib
from functools import lru_cache

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
_ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)

# A point is (X, Y, Z, T) with x = X/Z, y = Y/Z and xy = T/Z.
Point = tuple[int, int, int, int]
IDENTITY: Point = (0, 1, 1, 0)


def add(a: Point, b: Point) -> Point:
    """The sum by the complete formula (RFC 8032, 5.1.4), which doubles as well."""
    m = (a[1] - a[0]) * (b[1] - b[0]) % P
    n = (a[1] + a[0]) * (b[1] + b[0]) % P
    c = 2 * a[3] * b[3] * D % P
    d = 2 * a[2] * b[2] % P
    e, f, g, h = n - m, d - c, d + c, n + m
    return e * f % P, g * h % P, f * g % P, e * h % P


def multiply(k: int, point: Point) -> Point:
    """[k] point for k >= 0."""
    total = IDENTITY
    while k:
        if k & 1:
            total = add(total, point)
        point = add(point, point)
        k >>= 1
    return total


def encode(point: Point) -> bytes:
    """The canonical 32 bytes of a point."""
    inverse = pow(point[2], -1, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def decode(data: bytes) -> Point | None:
    """The point of a canonical encoding; None for any other bytes."""
    if len(data) != 32:
        return None
    number = int.from_bytes(data, "little")
    sign, y = number >> 255, number & (2**255 - 1)
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * _ROOT_OF_MINUS_ONE % P
    if x * x % P != square or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


_BASE_Y = 4 * pow(5, -1, P) % P
_base = decode(_BASE_Y.to_bytes(32, "little"))
if _base is None:
    raise AssertionError("the base point has an encoding")
BASE: Point = _base


def _secret(seed: bytes) -> tuple[int, bytes]:
    digest = hashlib.sha512(seed).digest()
    return int.from_bytes(digest[:32], "little") & (2**254 - 8) | 2**254, digest[32:]


def public_key(seed: bytes) -> bytes:
    """The public key of a private one (RFC 8032, 5.1.5)."""
    return encode(multiply(_secret(seed)[0], BASE))


def sign(seed: bytes, message: bytes) -> bytes:
    """The signature (RFC 8032, 5.1.6)."""
    scalar, prefix = _secret(seed)
    nonce = int.from_bytes(hashlib.sha512(prefix + message).digest(), "little") % L
    r = encode(multiply(nonce, BASE))
    k = int.from_bytes(hashlib.sha512(r + public_key(seed) + message).digest(), "little") % L
    return r + ((nonce + k * scalar) % L).to_bytes(32, "little")


@lru_cache(maxsize=1024)
def is_weak(public_key: bytes) -> bool:
    """Whether the bytes are anything but the canonical encoding of a point of order exactly L."""
    point = decode(public_key)
    if point is None:
        return True
    return encode(point) == encode(IDENTITY) or encode(multiply(L, point)) != encode(IDENTITY)


@lru_cache(maxsize=4096)
def verifies(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether R ‖ S signs the message: S < L, R canonical and not the identity, [S]B = R + [k]A."""
    point = decode(public_key)
    if point is None or len(signature) != 64:
        return False
    r, s = signature[:32], int.from_bytes(signature[32:], "little")
    if s >= L or r == encode(IDENTITY):
        return False
    k = int.from_bytes(hashlib.sha512(r + public_key + message).digest(), "little") % L
    x, y, z, t = multiply(k, point)
    # The encoding of a point is canonical, so equal bytes say that R is canonical as well.
    return encode(add(multiply(s, BASE), (P - x, y, z, P - t))) == r
