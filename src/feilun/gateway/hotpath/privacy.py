"""Whether the data that a call carries may be sent outside.

Three things keep a call inside: its caller says so, it names a source that must not leave (or that nobody knows), or it
quotes one. Quotations are found by the digests that every source leaves when it is read, sentence by sentence, in every
text of the call's body, whatever its field is called; what cannot be searched stays. This module knows refusals and
texts. It does not know where calls go.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import msgspec

from feilun.gateway.hotpath.calls import Call
from feilun.gateway.snapshot import Private
from feilun.records import normalise_text
from feilun.store.sources import SHORTEST_TEXT, telling

# Where a quotation may begin or end: lines, sentences, and what stands around words that are somebody else's.
_PIECE = re.compile(r"[^\n.!?。！？；;:：\"“”„«»‹›「」『』()（）\[\]【】<>《》{}|*#\t]+")
LONGEST_RUN = 6  # a sentence has fewer of these in it
MOST_RUNS = 500_000  # the text of several books
_TOO_MUCH = "it holds more sentences than can be searched for private texts."
_decode = msgspec.json.Decoder().decode


def kept_inside(call: Call, private: Private) -> str:
    """Return why a call must not be sent outside; empty if it may."""
    if call.leave is False:
        return "its caller says that its data must not leave."
    for source in call.sources:
        if source in private.sources:
            return f"the source {source} {_reason(private.sources[source])}."
        if source not in private.free:
            return f"the source {source} is not in this workspace."
    if not private.texts:
        return ""
    if _numbers(call.body.get("prompt")):
        return "its prompt is the numbers of tokens, which cannot be searched for private texts."
    for count, run in enumerate(run for text in _texts(call.body) for run in _runs(text)):
        if count > MOST_RUNS:
            return _TOO_MUCH
        if len(run) < SHORTEST_TEXT and not telling(run):
            continue
        digest = hashlib.sha256(run.encode()).hexdigest()
        if digest in private.texts:
            return f"it quotes {private.texts[digest]}."
    return ""


def _reason(text: str) -> str:
    return text.split(" ", 3)[-1] if text.startswith("the source ") else text


def _numbers(prompt: Any) -> bool:
    return isinstance(prompt, list) and not all(isinstance(each, str) for each in prompt)


def _texts(body: Any) -> Iterator[str]:
    """Yield every text in a body, also the names of fields, and what is in texts that are JSON themselves."""
    waiting = [body]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
            if value.lstrip()[:1] in {"{", "[", '"'}:
                try:
                    waiting.append(_decode(value))
                except (msgspec.DecodeError, UnicodeError, RecursionError):
                    continue
        elif isinstance(value, dict):
            waiting += value.keys()
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


def _runs(text: str) -> Iterator[str]:
    """Yield a text, its lines, and its sentences with what stands beside them, normalised as digests are made of."""
    pieces: list[str] = []
    lines = [0]
    for line in text.split("\n"):
        for found in _PIECE.finditer(line):
            if piece := normalise_text(found[0]):
                pieces.append(piece)
            if len(pieces) > MOST_RUNS:
                break  # as many runs follow, which is where the search ends
        lines.append(len(pieces))
    for begin, end in {*pairwise(lines), (0, len(pieces))}:
        if end - begin > LONGEST_RUN:
            yield " ".join(pieces[begin:end])
    for begin, first in enumerate(pieces):
        run = first
        yield run
        for piece in pieces[begin + 1 : begin + LONGEST_RUN]:
            run = f"{run} {piece}"
            yield run
