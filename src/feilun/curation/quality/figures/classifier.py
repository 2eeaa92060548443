"""A small classifier of texts that answers for every row without having seen it.

Ridge regression on hashed words and word pairs (of Chinese: characters and character pairs), one class against the
others. Its leave-one-out predictions have a closed form (Rifkin and Lippert, "Notes on Regularized Least Squares",
2007), so one solution serves all rows; a softmax whose sharpness fits the labels makes probabilities of them. This
module knows texts, classes and arrays. It does not know rows, nor what is done with its probabilities.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

WIDTH = 1024
_BLOCK = 4096
_LONGEST = 20_000  # characters looked at
_TOKEN = re.compile(r"[\u3400-\u9fff]|[^\W_\u3400-\u9fff]+|[!?！？]")
_PENALTIES = (3.0, 30.0, 300.0)
_SHARPNESS = np.geomspace(0.5, 64.0, 22)

Array = NDArray[np.float32]


def tokens(text: str) -> NDArray[np.uint32]:
    """Return a number for each word, or each Chinese character, of a text."""
    words = _TOKEN.findall(text[:_LONGEST].casefold())
    return np.fromiter((zlib.crc32(word.encode("utf-8", "replace")) for word in words), np.uint32, len(words))


def features(texts: Sequence[str]) -> Array:
    """Return n × WIDTH unit vectors: hashed tokens and pairs of tokens, with signs (Weinberger et al. 2009)."""
    found = np.zeros((len(texts), WIDTH), np.float32)
    for number, text in enumerate(texts):
        one = tokens(text).astype(np.uint64)
        both = np.concatenate([one, one[:-1] * np.uint64(1_000_003) + one[1:]])
        mixed = (np.unique(both) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(20)
        sign = np.where(mixed & np.uint64(1 << 40), 1.0, -1.0)
        found[number] = np.bincount((mixed % np.uint64(WIDTH)).astype(np.int64), sign, WIDTH)
    length = np.linalg.norm(found, axis=1, keepdims=True)
    return np.asarray(found / np.maximum(length, 1e-9), np.float32)


def classes_of(labels: Iterable[str]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Return the classes in order of their names, and each label's number."""
    said = list(labels)
    names = tuple(sorted(set(said)))
    number = {name: place for place, name in enumerate(names)}
    return names, np.array([number[one] for one in said], np.int64)


def left_out(given: Array, labels: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    """Return n × ``classes`` probabilities, each row's as if the row had not been there.

    The strength of the penalty is the one whose leave-one-out probabilities fit the labels best.
    """
    wide = given.shape[1] + 1
    gram, cross = np.zeros((wide, wide)), np.zeros((wide, classes))
    for block, said in _blocks(given, labels):
        gram += block.T @ block
        cross += block.T @ np.eye(classes)[said]
    best: tuple[float, NDArray[np.float64]] | None = None
    for penalty in _PENALTIES:
        inverse = np.linalg.inv(gram + penalty * np.eye(wide))
        weights = inverse @ cross
        scores = np.concatenate([_scores(block, said, inverse, weights) for block, said in _blocks(given, labels)])
        loss, chances = _sharpened(scores, labels)
        if best is None or loss < best[0]:
            best = loss, chances
    return best[1] if best else np.zeros((0, classes))


def _blocks(given: Array, labels: NDArray[np.int64]) -> Iterable[tuple[NDArray[np.float64], NDArray[np.int64]]]:
    """Yield the rows in blocks of one size, whatever batches they came in, with a column of ones."""
    for start in range(0, len(given), _BLOCK):
        block = given[start : start + _BLOCK].astype(np.float64)
        yield np.hstack([block, np.ones((len(block), 1))]), labels[start : start + _BLOCK]


def _scores(
    block: NDArray[np.float64], said: NDArray[np.int64], inverse: NDArray[Any], weights: NDArray[Any]
) -> NDArray[np.float64]:
    """Return leave-one-out scores (ŷ − h·y) / (1 − h), h being the leverage of the row."""
    leverage = np.minimum(np.einsum("ij,ij->i", block @ inverse, block), 0.999)
    scores = np.asarray(block @ weights, np.float64)
    scores[np.arange(len(said)), said] -= leverage
    return np.asarray(scores / (1.0 - leverage)[:, None], np.float64)


def _sharpened(scores: NDArray[np.float64], labels: NDArray[np.int64]) -> tuple[float, NDArray[np.float64]]:
    """Return the mean loss (nats) and the probabilities of the softmax whose sharpness fits best."""
    best: tuple[float, NDArray[np.float64]] | None = None
    for sharpness in _SHARPNESS:
        raised = scores * sharpness
        raised -= raised.max(1, keepdims=True)
        chances = np.exp(raised)
        chances /= chances.sum(1, keepdims=True)
        loss = float(-np.log(np.maximum(chances[np.arange(len(labels)), labels], 1e-12)).mean())
        if best is None or loss < best[0]:
            best = loss, chances
    if best is None:
        raise ValueError("no sharpness to try")
    return best
