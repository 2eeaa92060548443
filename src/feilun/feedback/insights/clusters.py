"""Groups of what is near to each other: average linkage by chains of nearest neighbours.

It knows vectors. It does not know what they stand for.

Source: F. Murtagh, *A Survey of Recent Advances in Hierarchical Clustering Algorithms* (The Computer Journal 26, 1983).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def clusters(rows: np.ndarray, counts: Sequence[int], least: float) -> list[list[int]]:
    """Return groups of places in ``rows`` (n x d, unit length), largest first; alone is what is near nothing.

    Two groups become one while the mean of the dot products between them is at least ``least``; ``counts`` says how
    often each row stands. The same rows give the same groups. Takes n² of memory and time.
    """
    n = len(rows)
    near = (rows @ rows.T).astype(np.float32)
    near = np.maximum(near, near.T)  # two ways to sum one product may differ in the last bit, and chains must end
    np.fill_diagonal(near, -np.inf)
    weights = np.asarray(counts, np.float32).copy()
    members: dict[int, list[int]] = {place: [place] for place in range(n)}
    alive = np.ones(n, bool)
    chain: list[int] = []
    settled = np.zeros(n, bool)  # its nearest is too far, and merging others brings nothing nearer than they were
    while True:
        if not chain:
            waiting = np.flatnonzero(alive & ~settled)
            if not len(waiting):
                break
            chain.append(int(waiting[0]))
        last = chain[-1]
        row = near[last]
        best = int(np.argmax(row))
        if len(chain) > 1 and row[chain[-2]] >= row[best]:
            best = chain[-2]
        if not row[best] >= least:
            settled[last] = True
            chain.clear()
            continue
        if len(chain) > 1 and best == chain[-2]:
            _merge(near, weights, alive, last, best)
            members[best] += members.pop(last)
            settled[best] = False
            chain = chain[:-2]
        else:
            chain.append(best)
    found = [sorted(members[int(place)]) for place in np.flatnonzero(alive)]
    return sorted(found, key=lambda group: (-sum(counts[place] for place in group), group[0]))


def _merge(near: np.ndarray, weights: np.ndarray, alive: np.ndarray, gone: int, into: int) -> None:
    """Put ``gone`` into ``into``: its nearness to others is the mean over the members of both."""
    whole = weights[gone] + weights[into]
    row = (near[gone] * weights[gone] + near[into] * weights[into]) / whole
    row[[gone, into]] = -np.inf
    near[into] = row
    near[:, into] = row
    near[gone] = -np.inf
    near[:, gone] = -np.inf
    weights[into], alive[gone] = whole, False
