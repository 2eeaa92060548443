"""Grading: when an answer is right, and by how much.

This room knows texts, numbers, schemas, programs in a sandbox, and how to ask a judge that it is given. It does not
know exams, runs, training, or who answered.
"""

from feilun.grading.grade import check, grade, lacking
from feilun.grading.seam import Grade, Judge
from feilun.grading.texts import contains, render_template, string_check, tokens

__all__ = ["Grade", "Judge", "check", "contains", "grade", "lacking", "render_template", "string_check", "tokens"]
