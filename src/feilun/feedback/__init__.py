"""Feedback: what people said about answers becomes lessons: samples to learn from and questions to be asked.

The room knows judgements, traces and wordings. It does not know how lessons are trained on, scored or promoted, and it
does not know files: those are curation's.
"""

from feilun.feedback.lessons import Collected, Lesson, collect
from feilun.feedback.wordings import exam_wordings, training_wordings

__all__ = ["Collected", "Lesson", "collect", "exam_wordings", "training_wordings"]
