"""Pairs that may be near, found by bands of signatures; groups of those that are; who of a group stays.

This module knows signatures and row numbers. It does not know texts or names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from feilun.curation.copies.sketches import BINS, Signatures, likeness

BAND = 4  # bins in a band: a pair of Jaccard 0.6 shares one of 32 bands with probability 0.988
_REACH = 32  # how many neighbours in a bucket a row is compared with
_ROUNDS = 64
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Permitted = Callable[[Ints, Ints], npt.NDArray[np.bool_]]


def joined(labels: Ints, one: Ints, other: Ints) -> Ints:
    """Return the labels after pairs were joined: the least row number of each group."""
    while True:
        a, b = labels[one], labels[other]
        if np.array_equal(a, b):
            return labels
        np.minimum.at(labels, np.maximum(a, b), np.minimum(a, b))
        while not np.array_equal(labels, above := labels[labels]):
            labels = above


def _candidates(keys: npt.NDArray[np.uint32], there: Ints) -> Iterator[tuple[Ints, Ints]]:
    """Yield pairs of rows with equal keys; in large buckets only those that stand near each other."""
    # One sort of whole numbers brings equal keys together, in the order of rows.
    order = (keys.astype(np.uint64) << np.uint64(32)) | there.astype(np.uint64)
    order.sort()
    key = (order >> np.uint64(32)).astype(np.uint32)
    row = (order & np.uint64(0xFFFFFFFF)).astype(np.int64)
    places = np.flatnonzero(key[1:] == key[:-1])
    for reach in range(1, _REACH + 1):
        if not places.size:
            return
        yield row[places], row[places + reach]
        places = places[places + reach + 1 < key.size]
        places = places[key[places] == key[places + reach + 1]]


def _chosen(pairs: tuple[Ints, Ints], which: npt.NDArray[np.bool_]) -> tuple[Ints, Ints]:
    return pairs[0][which], pairs[1][which]


def grouped(signatures: Signatures, threshold: float, permitted: Permitted) -> Ints:
    """Return for each row the first row of its group: rows joined by pairs of at least ``threshold``."""
    labels = np.arange(signatures.counts.size, dtype=np.int64)
    there = np.flatnonzero(signatures.counts)
    for band in range(0, BINS, BAND):
        keys = np.ascontiguousarray(signatures.bins[there, band : band + BAND]).view(np.uint32).ravel()
        for pairs in _candidates(keys, there):
            one, other = _chosen(pairs, labels[pairs[0]] != labels[pairs[1]])
            one, other = _chosen((one, other), permitted(one, other))
            one, other = _chosen((one, other), likeness(signatures, one, other, threshold) >= threshold)
            if one.size:
                labels = joined(labels, one, other)
    return labels


def leaders(signatures: Signatures, labels: Ints, threshold: float, permitted: Permitted) -> tuple[Ints, Ints, Floats]:
    """Return (dropped, kept, likeness): in a group the first row stays, and so do those that are not like it.

    A chain of small changes ends somewhere else than it began; what is below ``threshold`` to every row that stays,
    stays as well.
    """
    left = np.flatnonzero(labels != np.arange(labels.size))
    first = labels[left]
    dropped, kept, scores = list[Ints](), list[Ints](), list[Floats]()
    for _ in range(_ROUNDS):
        if not left.size:
            break
        score = likeness(signatures, first, left)
        near = (score >= threshold) & permitted(first, left)
        dropped.append(left[near])
        kept.append(first[near])
        scores.append(score[near])
        # The first of those that remain of a group leads them.
        left = left[~near]
        _, index, which = np.unique(labels[left], return_index=True, return_inverse=True)
        first = left[index][which]
        left, first = left[first != left], first[first != left]
    none = np.zeros(0, np.int64)
    return (
        np.concatenate([none, *dropped]),
        np.concatenate([none, *kept]),
        np.concatenate([none, *scores], dtype=np.float32),
    )
