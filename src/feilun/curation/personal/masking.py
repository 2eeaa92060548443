"""What stands in the place of personal data: labels, pseudonyms, placeholders that a key undoes.

This module knows placeholders and keys that it is given. It does not know how personal data is found, nor where keys
are kept.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from feilun.curation.personal.folding import fold
from feilun.curation.personal.spans import KINDS, Span

Writer = Callable[[str, str], str]  # kind, value -> what stands in its place


def key_of(kind: str, value: str) -> str:
    """Return what equal values have in common, however they are written: digits, letters, no case, no separators."""
    plain = fold(value).text.casefold()
    if kind == "EMAIL":
        return plain
    plain = re.sub(r"[\W_]", "", plain)
    return re.sub(r"^(?:00)?86(?=1[3-9]\d{9}$)", "", plain) if kind == "PHONE" else plain


def replaced(text: str, spans: Iterable[Span], writer: Writer) -> str:
    """Return ``text`` with what ``writer`` gives in the place of each span (in order, without overlaps)."""
    pieces, done = [], 0
    for span in spans:
        pieces += [text[done : span.start], writer(span.kind, text[span.start : span.end])]
        done = span.end
    return "".join([*pieces, text[done:]])


def label(kind: str, _: str) -> str:
    """Return the plain placeholder: it cannot be undone, and does not tell two people apart."""
    return f"[{KINDS[kind].label}]"


@dataclass(frozen=True, slots=True)
class Pseudonyms:
    """Placeholders such as ``[NAME_k7q2m4xd]``: equal for equal values under one key, unlinkable without it.

    The tag is HMAC-SHA256 (RFC 2104) of kind and value, 40 bits of it: among a million values of a kind the chance that
    two given ones share a tag is one in 10^12, that any two do about one in three.
    """

    key: bytes = field(repr=False)

    def __call__(self, kind: str, value: str) -> str:
        """Return the pseudonym of ``value``."""
        said = f"{KINDS[kind].label}\0{key_of(kind, value)}".encode("utf-8", "surrogatepass")
        digest = hmac.new(self.key, said, hashlib.sha256).digest()
        return f"[{KINDS[kind].label}_{base64.b32encode(digest[:5]).decode().lower()}]"


class Reversible:
    """Placeholders such as ``[PHONE:mzxw6…]`` that hold the value itself, encrypted: whoever has the key undoes them.

    AES-SIV (RFC 5297) of the value, with its kind as associated data: the same value has the same placeholder under one
    key, nothing is told of it without the key, and a placeholder that was changed does not open. Values are padded to
    multiples of 16 bytes, so that little is told of their length.
    """

    def __init__(self, key: bytes) -> None:
        """Derive the cipher's key from the workspace's."""
        self._cipher = AESSIV(hmac.digest(key, b"feilun reversible masking", "sha512"))

    def __call__(self, kind: str, value: str) -> str:
        """Return the placeholder of ``value``."""
        name, plain = KINDS[kind].label, value.encode("utf-8", "surrogatepass")
        padded = plain + b"\x80" + b"\0" * (-(len(plain) + 1) % _PAD)
        sealed = self._cipher.encrypt(padded, [name.encode()])
        return f"[{name}:{base64.b32encode(sealed).decode().lower().rstrip('=')}]"

    def restored(self, text: str) -> tuple[str, int]:
        """Return ``text`` with every placeholder of this key undone, and how many there were."""
        undone = 0

        def back(match: re.Match[str]) -> str:
            nonlocal undone
            told = match[2].upper()
            try:
                sealed = base64.b32decode(told + "=" * (-len(told) % 8))
                plain = self._cipher.decrypt(sealed, [match[1].encode()])
            except (InvalidTag, ValueError):
                return match[0]
            undone += 1
            return plain.rstrip(b"\0")[:-1].decode("utf-8", "surrogatepass")

        return _PLACEHOLDER.sub(back, text), undone


_PAD = 16
_PLACEHOLDER = re.compile(r"\[([A-Z_]{2,24}):([a-z2-7]{38,4000})\]")
