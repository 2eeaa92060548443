"""Whether the data that a call carries may be sent outside.

Three things keep a call inside: its caller says so, it names a source that must not leave, or it quotes one. Quotations
are found by the digests that every source leaves when it is read, sentence by sentence. This module knows refusals and
texts. It does not know where calls go.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from feilun.gateway.hotpath.calls import Call, texts_of
from feilun.gateway.snapshot import Private
from feilun.records import text_digest
from feilun.store.sources import telling

_PARTS = re.compile(r"(?<=[.!?。！？；;])\s*|\n+")
MOST_PARTS = 2000


def kept_inside(call: Call, private: Private) -> str:
    """Return why a call must not be sent outside; empty if it may."""
    if call.leave is False:
        return "its caller says that its data must not leave."
    for source in call.sources:
        if source in private.sources:
            return f"the source {source} {_reason(private.sources[source])}."
    if not private.texts:
        return ""
    for part in _parts([*_told(call), *texts_of(call)]):
        digest = text_digest(part)
        if digest in private.texts:
            return f"it quotes {private.texts[digest]}."
    return ""


def _told(call: Call) -> list[str]:
    """Return the texts that a call says it was made of: inside a sentence of a template none of them would be found."""
    metadata = call.body.get("metadata")
    told = metadata.get("feilun_texts") if isinstance(metadata, dict) else None
    return [text for text in told if isinstance(text, str)] if isinstance(told, list) else []


def _reason(text: str) -> str:
    return text.split(" ", 3)[-1] if text.startswith("the source ") else text


def _parts(texts: Iterable[str]) -> list[str]:
    """Return the texts whole, their lines and their sentences."""
    found: dict[str, None] = {}
    for text in texts:
        for piece in (text, *text.split("\n"), *_PARTS.split(text)):
            plain = piece.strip()
            if plain and plain not in found and telling(plain):
                found[plain] = None
                if len(found) >= MOST_PARTS:
                    return list(found)
    return list(found)
