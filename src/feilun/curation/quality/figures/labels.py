"""Confident learning: which labels are likely to be wrong, told from out-of-sample probabilities.

After Northcutt, Jiang and Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels" (JAIR 2021). This
module knows labels as numbers and probabilities as arrays. It does not know texts, rows, or who made the predictions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from feilun.errors import BadRequest

_SLACK = 1e-6  # probabilities stored as half floats meet their own mean in spite of rounding


@dataclass(frozen=True, slots=True)
class Ranking:
    """Rows from the most to the least likely label error, and what was seen of each row.

    ``order`` holds row numbers, the most suspect first. By row: ``margin``, by how much another class is more probable
    than the given label (−1 to 1); ``issue``, whether the row counts in the confident joint for another class than its
    label; ``suggested``, that class (else the most probable one). ``joint`` (k × k, sum 1) estimates how given labels
    (rows) and true ones (columns) go together.
    """

    order: NDArray[np.int64]
    margin: NDArray[np.float64]
    issue: NDArray[np.bool_]
    suggested: NDArray[np.int64]
    joint: NDArray[np.float64]


def label_issues(labels: ArrayLike, probabilities: ArrayLike) -> Ranking:
    """Rank rows by how likely their label is wrong.

    ``labels``: n class numbers from 0; ``probabilities``: n × k, of each class for each row, by a model that did not
    see the row. Off-diagonal members of the confident joint come first (a class counts for a row if its probability
    reaches the mean that rows labelled so give it), each part by its margin; equals keep their order. Raises BadRequest
    if the shapes do not fit, a label is no class, or a probability is no finite number.
    """
    given, chances = _checked(labels, probabilities)
    rows, classes = chances.shape
    every = np.arange(rows)
    own = chances[every, given]
    members = np.bincount(given, minlength=classes)
    # A class that nobody was labelled with has no bar of its own, and cannot be confidently another one's truth.
    bar = np.full(classes, np.inf)
    np.divide(np.bincount(given, own, classes), members, out=bar, where=members > 0)
    sure = chances >= bar - _SLACK
    likeliest = np.where(sure, chances, -1.0).argmax(1)
    issue = sure.any(1) & (likeliest != given)
    others = chances.copy()
    others[every, given] = -1.0
    margin = (others.max(1) if classes > 1 else np.zeros(rows)) - own
    suggested = np.where(issue, likeliest, chances.argmax(1))
    joint = _joint(given[sure.any(1)], likeliest[sure.any(1)], members)
    return Ranking(np.lexsort((every, -margin, ~issue)), margin, issue, suggested, joint)


def _checked(labels: ArrayLike, probabilities: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    given, chances = np.asarray(labels), np.asarray(probabilities, np.float64)
    if given.ndim != 1 or chances.ndim != 2 or len(given) != len(chances) or not chances.shape[1]:
        raise BadRequest("There must be one label and one row of probabilities for each text.")
    if not len(given):
        return given.astype(np.int64), chances
    if given.dtype.kind not in "iu" or given.min() < 0 or given.max() >= chances.shape[1]:
        raise BadRequest("A label must be the number of a class that has probabilities.")
    if not np.isfinite(chances).all():
        raise BadRequest("A probability must be a finite number.")
    return given.astype(np.int64), chances


def _joint(given: NDArray[np.int64], true: NDArray[np.int64], members: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the confident joint, each row scaled to the number of rows that are labelled so, all to sum 1."""
    classes = len(members)
    counts = np.bincount(given * classes + true, minlength=classes * classes).reshape(classes, classes).astype(float)
    bare = counts.sum(1) == 0
    counts[bare, bare] = 1.0
    joint = counts / counts.sum(1, keepdims=True) * members[:, None]
    total = joint.sum()
    return np.asarray(joint / total if total else joint, np.float64)
