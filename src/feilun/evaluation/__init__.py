"""Evaluation: exams, their runs, their scores, and the verdict on a candidate model.

This room knows what an exam is, how a model sits it, when an answer is right, what two runs of one exam prove about
each other, when a candidate may be promoted, and how to tell people (:mod:`feilun.evaluation.report`). It does not know
how a model was trained, which engine answers, where answers are kept (callers give it a ``save``), or what happens
after the verdict.
"""

from feilun.evaluation.compare import compare, decide, flips, mcnemar, paired_interval
from feilun.evaluation.exams import check_unseen, load_exam, parse_exam
from feilun.evaluation.run import Sitting, sit
from feilun.evaluation.scoring import contains, render_template, string_check

__all__ = [
    "Sitting",
    "check_unseen",
    "compare",
    "contains",
    "decide",
    "flips",
    "load_exam",
    "mcnemar",
    "paired_interval",
    "parse_exam",
    "render_template",
    "sit",
    "string_check",
]
