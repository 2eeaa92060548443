"""Sketches of many texts: shingles of characters, and short signatures from which likeness is estimated.

This module knows shingles and MinHash in one permutation. It does not know rows, nor what is done about copies.

A shingle is four characters of a dense script (Han, kana, Hangul) or six letters of others, which is about a word:
long enough to tell texts apart, short enough that a wrong letter costs little. One hash of each shingle chooses one of
128 bins and competes to be the least in it (Li, Owen, Zhang: One Permutation Hashing, NIPS 2012); eight bits of the
least are kept (Li, König: b-bit minwise hashing, 2010). Empty bins are filled from others so that bands can be compared
(Shrivastava: Optimal densification, ICML 2017), but count for nothing in an estimate.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from feilun.curation.copies.fold import ALONE, Chars, Folded

BINS = 128
DENSE, SPARSE = 4, 6  # characters in a shingle
_BIN_SHIFT = np.uint32(25)
_VALUE = np.uint32((1 << 25) - 1)
_NONE = np.uint32(0xFFFFFFFF)
_FACTOR = np.uint32(0x9E3779B1)
_SQUARE = np.uint32(0x9E3779B1**2 & 0xFFFFFFFF)
_PIECE = 1 << 17  # characters looked at together: the arrays stay in the cache of a core
Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Signatures:
    """Signatures of texts: ``bins`` (n × 128), ``filled`` (n × 16, bits: which bins are the text's own), shingles."""

    bins: Bytes
    filled: Bytes
    counts: npt.NDArray[np.uint32]


def mixed(values: Chars) -> Chars:
    """Scramble 32-bit values in place (the end of MurmurHash3) and return them."""
    values ^= values >> np.uint32(16)
    values *= np.uint32(0x85EBCA6B)
    values ^= values >> np.uint32(13)
    values *= np.uint32(0xC2B2AE35)
    values ^= values >> np.uint32(16)
    return values


def shingles(folded: Folded) -> tuple[Chars, Ints]:
    """Return the hashes of all shingles, text after text, and the bounds of each text's among them.

    A text too short for a shingle has one, of all its characters; an empty one has none.
    """
    chars, bounds = folded.chars, folded.bounds
    size = chars.size
    padded = np.zeros(size + SPARSE, np.uint32)
    np.multiply(chars, np.uint32(0xCC9E2D51), out=padded[:size])
    padded ^= padded >> np.uint32(15)
    # Rolling hashes of two, four and six characters, each made of shorter ones.
    two = padded[:-1] * _FACTOR
    two += padded[1:]
    four = two[: size + 2] * _SQUARE
    four += two[2 : size + 4]
    found = four[:size] * _SQUARE
    found += two[4 : size + 4]
    alone = (chars & ALONE) != 0
    np.copyto(found, four[:size], where=alone)
    mixed(found)
    # The last characters of a text begin no shingle: the characters after them are another text's.
    tails = bounds[1:, None] - 1 - np.arange(SPARSE - 1)
    outside = tails < bounds[:-1, None]
    near = np.arange(SPARSE - 1) >= DENSE - 1
    tails = np.where(outside, 0, tails)
    stays = outside | (near & alone[tails]) if size else outside
    keep = np.ones(size, bool)
    keep[tails[~stays]] = False
    lost = np.diff(bounds) > 0
    kept = np.zeros(size + 1, np.int64)
    np.cumsum(keep, out=kept[1:])
    short = np.flatnonzero(lost & (kept[bounds[1:]] == kept[bounds[:-1]]))
    for index in short.tolist():
        start, end = int(bounds[index]), int(bounds[index + 1])
        keep[start] = True
        found[start] = zlib.crc32(chars[start:end].tobytes())
    if short.size:
        np.cumsum(keep, out=kept[1:])
    return found[keep], kept[bounds]


def pieces(texts: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield the bounds of runs of texts that are best looked at together."""
    start = size = 0
    for index, text in enumerate(texts):
        size += len(text)
        if size >= _PIECE:
            yield start, index + 1
            start, size = index + 1, 0
    if start < len(texts):
        yield start, len(texts)


def least(hashes: Chars, rows: Ints, count: int) -> Chars:
    """Return the least hash of each bin (``count`` × 128) of shingles that belong to ``rows``."""
    lowest = np.full(count * BINS, _NONE, np.uint32)
    np.minimum.at(lowest, rows * BINS + (hashes >> _BIN_SHIFT), hashes & _VALUE)
    return lowest.reshape(count, BINS)


def signatures(lowest: Chars, counts: npt.NDArray[np.uint32]) -> Signatures:
    """Return the signatures of texts from the least hashes of their bins."""
    own = lowest != _NONE
    bins = lowest.astype(np.uint8)
    _densify(bins, own)
    return Signatures(bins, np.packbits(own, axis=1), counts)


@functools.cache
def _sources() -> Ints:
    return np.random.default_rng(20170806).integers(0, BINS, (256, BINS))


def _densify(bins: Bytes, own: npt.NDArray[np.bool_]) -> None:
    some = np.flatnonzero(~own.any(axis=1))
    bins[some] = 0
    lacks = ~own
    lacks[some] = False
    rows, empty = np.nonzero(lacks)
    for source in _sources():
        if not rows.size:
            return
        chosen = source[empty]
        good = own[rows, chosen]
        bins[rows[good], empty[good]] = bins[rows[good], chosen[good]]
        rows, empty = rows[~good], empty[~good]
    bins[rows, empty] = bins[rows, np.argmax(own[rows], axis=1)]


def likeness(signatures: Signatures, one: Ints, other: Ints, least_wanted: float = 0.0) -> npt.NDArray[np.float32]:
    """Return the estimated Jaccard index of pairs of texts; where it is far below ``least_wanted``, just 0.

    The standard error is about 0.04 at 0.7 for texts of more than a few hundred shingles, less for short ones.
    """
    out = np.zeros(one.size, np.float32)
    for start in range(0, one.size, 1 << 14):
        a, b = one[start : start + (1 << 14)], other[start : start + (1 << 14)]
        part = np.arange(a.size)
        if least_wanted:
            # A quarter of the bins tells most pairs that have little in common.
            same = (signatures.bins[a, :32] == signatures.bins[b, :32]).sum(axis=1)
            part = np.flatnonzero(same >= 32 * (least_wanted - 0.3))
            a, b = a[part], b[part]
        equal = signatures.bins[a] == signatures.bins[b]
        first = np.unpackbits(signatures.filled[a], axis=1)
        second = np.unpackbits(signatures.filled[b], axis=1)
        both = (equal & (first & second).view(bool)).sum(axis=1)
        either = (first | second).sum(axis=1)
        out[start + part] = both / np.maximum(either, 1)
    return out
