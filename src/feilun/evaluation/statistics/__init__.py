"""Statistics that hold: what answers prove about models, with few questions, questions that hang together, many exams.

The room knows numbers, counts and which values belong together. It does not know exams, models, words or where anything
is kept. What it claims is checked by simulation: ``tests/evaluation/statistics`` and ``bench/statistics.py``.
"""

from feilun.evaluation.statistics.bootstrap import bootstrap_interval
from feilun.evaluation.statistics.clusters import clustered, design_effect, robust_interval, sign_flip
from feilun.evaluation.statistics.differences import Difference, difference
from feilun.evaluation.statistics.groups import grouped_split, joined
from feilun.evaluation.statistics.paired import Z95, mcnemar, paired_interval
from feilun.evaluation.statistics.power import Plan, clears, detectable, plan, power, questions_for
from feilun.evaluation.statistics.several import all_kept, holm, shared_level
from feilun.evaluation.statistics.shares import exact_share, share_interval, wilson

__all__ = [
    "Z95",
    "Difference",
    "Plan",
    "all_kept",
    "bootstrap_interval",
    "clears",
    "clustered",
    "design_effect",
    "detectable",
    "difference",
    "exact_share",
    "grouped_split",
    "holm",
    "joined",
    "mcnemar",
    "paired_interval",
    "plan",
    "power",
    "questions_for",
    "robust_interval",
    "share_interval",
    "shared_level",
    "sign_flip",
    "wilson",
]
