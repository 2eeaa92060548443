"""Exams that exist already, in whatever form they come: tables, JSON, tasks of other evaluators.

This room knows files, fields and shapes. It does not know who sits an exam, or how an answer is graded.
"""

from feilun.evaluation.formats.bring import Imported, Wishes, read_exam

__all__ = ["Imported", "Wishes", "read_exam"]
