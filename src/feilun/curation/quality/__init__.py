"""How good rows are, alone and together: scores, sensitive terms, balance, contradictions, label errors, bias, split.

This room knows texts and their labels. It does not know files, recipes, the store, or how a report is drawn.
"""

from __future__ import annotations

from feilun.curation.quality.figures.labels import Ranking, label_issues

__all__ = ["Ranking", "label_issues"]
