"""Ready guard exams: what every model must still know, refuse, doubt and keep to itself, in English and Chinese.

The room knows its own questions and how each is graded. It does not know models, runs, or what an organisation asks.
"""

from feilun.evaluation.ready.load import EXAMS, Ready, described, ready

__all__ = ["EXAMS", "Ready", "described", "ready"]
