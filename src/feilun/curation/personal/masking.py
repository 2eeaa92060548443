"""What stands in the place of personal data: labels, pseudonyms that only a key can tell, labels that can be undone.

This module knows placeholders and keys that it is given. It does not know how personal data is found, nor where keys
are kept.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from feilun.curation.personal.folding import fold
from feilun.curation.personal.spans import KINDS, Span
from feilun.errors import InputError

Writer = Callable[[str, str], str]  # kind, value -> what stands in its place


class SealError(InputError):
    """A sealed vault does not open: another key, or changed bytes."""

    code = "vault_does_not_open"


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


@dataclass(slots=True)
class Vault:
    """Remembers what each placeholder stands for, so that masking can be undone: ``[PHONE_3]`` and its value.

    The same value, written the same way, has the same placeholder. Placeholders that a text already held by itself are
    never given out for it (``masked``).
    """

    values: dict[str, str] = field(default_factory=dict)
    _places: dict[tuple[str, str], str] = field(default_factory=dict)
    _counts: dict[str, int] = field(default_factory=dict)

    def masked(self, text: str, spans: Iterable[Span]) -> str:
        """Return ``text`` with placeholders; ``restored`` gives it back."""
        own = set(_PLACEHOLDER.findall(text))
        return replaced(text, spans, lambda kind, value: self._put(KINDS[kind].label, value, own))

    def _put(self, name: str, value: str, own: set[str]) -> str:
        known = self._places.get((name, value))
        if known is not None and known not in own:
            return known
        number = self._counts.get(name, 0) + 1
        while (place := f"[{name}_{number}]") in own:
            number += 1
        self._counts[name] = number
        self.values[place] = value
        self._places[name, value] = place
        return place

    def restored(self, text: str) -> str:
        """Return ``text`` with every placeholder of this vault undone."""
        return _PLACEHOLDER.sub(lambda match: self.values.get(match[0], match[0]), text)

    def sealed(self, key: bytes) -> bytes:
        """Return the vault encrypted and authenticated (AES-256-GCM, NIST SP 800-38D); ``key`` has 32 bytes."""
        nonce = secrets.token_bytes(12)
        written = {place: value.encode("utf-8", "surrogatepass") for place, value in self.values.items()}
        return _MAGIC + nonce + AESGCM(key).encrypt(nonce, msgspec.msgpack.encode(written), _MAGIC)

    @classmethod
    def opened(cls, sealed: bytes, key: bytes) -> Vault:
        """Return the vault that was sealed with ``key``; SealError if it is another one, or the bytes were changed."""
        magic, nonce, rest = sealed[: len(_MAGIC)], sealed[len(_MAGIC) : len(_MAGIC) + 12], sealed[len(_MAGIC) + 12 :]
        try:
            plain = AESGCM(key).decrypt(nonce, rest, magic)
        except (InvalidTag, ValueError) as error:
            raise SealError("the vault does not open with this key, or was changed") from error
        values = {
            place: value.decode("utf-8", "surrogatepass")
            for place, value in msgspec.msgpack.decode(plain, type=dict[str, bytes]).items()
        }
        vault = cls(values)
        for place, value in values.items():
            name, _, number = place[1:-1].rpartition("_")
            vault._remember(name, value, place, int(number))
        return vault

    def _remember(self, name: str, value: str, place: str, number: int) -> None:
        self._places[name, value] = place
        self._counts[name] = max(self._counts.get(name, 0), number)


_MAGIC = b"feilun-personal-1\n"
_PLACEHOLDER = re.compile(r"\[[A-Z_]{2,24}_[0-9]{1,9}\]")


def restore(text: str, vault: Vault) -> str:
    """Return ``text`` as it was before ``vault`` masked it."""
    return vault.restored(text)
