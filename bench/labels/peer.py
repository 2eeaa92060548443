"""cleanlab's rankings of the same labels and probabilities; run by the Python of its own environment.

    python peer.py INPUT.npz OUTPUT.npz

Knows cleanlab. Does not know Feilun, nor which labels are really wrong.
"""

import sys
from typing import Any

import numpy as np
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores

SCORES = ("self_confidence", "normalized_margin")


def main() -> None:
    """Write, for each way of cleanlab, all rows from the most to the least suspect."""
    given = np.load(sys.argv[1])
    labels, chances = given["labels"].astype(int), given["probabilities"]
    found: dict[str, Any] = {}
    for score in SCORES:
        quality = get_label_quality_scores(labels, chances, method=score)
        ranked = np.argsort(quality, kind="stable")
        found[score] = ranked
        # What it calls an issue first, as its documentation ranks them; then the rest.
        issues = find_label_issues(labels, chances, return_indices_ranked_by=score, n_jobs=1)
        found[f"issues, {score}"] = np.concatenate([issues, ranked[~np.isin(ranked, issues)]])
    np.savez(sys.argv[2], **found)


main()
