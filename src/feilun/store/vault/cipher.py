"""A stream sealed in pieces, each of which vouches for its place and the last one for the end.

AES-256-GCM in the STREAM construction (Hoang, Reyhanitabar, Rogaway and Vizár, "Online Authenticated-Encryption and
its Nonce-Reuse Misuse-Resistance", 2015), with a key for each file derived by HKDF-SHA-256 from a random salt, so that
nonces can be counters. Knows bytes; does not know whose keys they are, nor where files lie.

A sealed file is ``FLSEAL01``, the id of its key (8 bytes), the salt (32 bytes), then pieces of 1 MiB, each 16 bytes
longer than what it holds.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import IO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

MAGIC = b"FLSEAL01"
KEY_ID, SALT, PIECE, TAG = 8, 32, 1 << 20, 16
HEADER = len(MAGIC) + KEY_ID + SALT


class Broken(Exception):
    """Sealed bytes that are not what was written under this key."""


def seal(key: bytes, key_id: bytes, pieces: Iterable[bytes], out: IO[bytes]) -> None:
    """Write the pieces (of any sizes) sealed with a key of 32 bytes."""
    head = MAGIC + key_id + os.urandom(SALT)
    cipher = _cipher(key, head)
    out.write(head)
    waiting, number = bytearray(), 0
    for piece in pieces:
        waiting += piece
        while len(waiting) > PIECE:  # what is left may be the last piece, which is marked
            out.write(cipher.encrypt(_nonce(number, last=False), bytes(waiting[:PIECE]), head))
            del waiting[:PIECE]
            number += 1
    out.write(cipher.encrypt(_nonce(number, last=True), bytes(waiting), head))


def key_of(sealed: IO[bytes]) -> bytes:
    """Return the id of the key that a sealed file needs; raise Broken for what is none."""
    head = sealed.read(HEADER)
    sealed.seek(0)
    if len(head) < HEADER or not head.startswith(MAGIC):
        raise Broken("no sealed file")
    return head[len(MAGIC) : len(MAGIC) + KEY_ID]


def unseal(key: bytes, sealed: IO[bytes]) -> Iterator[bytes]:
    """Give what was sealed, piece by piece; raise Broken at the first that was changed, moved or cut off."""
    head = sealed.read(HEADER)
    cipher = _cipher(key, head)
    piece, number = sealed.read(PIECE + TAG), 0
    while True:
        after = sealed.read(PIECE + TAG)
        try:
            yield cipher.decrypt(_nonce(number, last=not after), piece, head)
        except InvalidTag as error:
            raise Broken(f"piece {number}") from error
        if not after:
            return
        piece, number = after, number + 1


def _cipher(key: bytes, head: bytes) -> AESGCM:
    return AESGCM(HKDF(SHA256(), 32, head[-SALT:], MAGIC).derive(key))


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])
