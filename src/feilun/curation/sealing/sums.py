"""Sums of scrambled numbers, by which equal multisets are found.

This module knows 64-bit numbers. It does not know what they stand for.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Sums = npt.NDArray[np.uint64]
_BITS = 22


def scrambled(values: Sums) -> Sums:
    """Return 64 bits for each value (SplitMix64: Steele, Lea, Flood 2014)."""
    z = (values + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(z ^ (z >> np.uint64(31)))


def short(sums: Sums) -> npt.NDArray[np.int64]:
    """Return the leading bits of sums: places in a table of :func:`maybe`."""
    return (sums >> np.uint64(64 - _BITS)).astype(np.int64)


def maybe(sums: Sums) -> npt.NDArray[np.bool_]:
    """Return a table that is true where a sum may be one of these: nearly all others are known not to be."""
    table = np.zeros(1 << _BITS, bool)
    table[short(sums)] = True
    return table
