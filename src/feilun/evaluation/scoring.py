"""How one item of an exam is graded: by the grader that it brings along, or by the texts that it accepts.

This module knows items and which grader is theirs. It does not know how graders work, nor runs or models.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from feilun.grading import Grade, Judge, contains, grade, render_template, string_check, tokens
from feilun.records import JSON, EvalItem

__all__ = ["contains", "grade_answer", "grader_of", "item_fields", "render_template", "string_check", "tokens"]


def grader_of(item: EvalItem) -> JSON:
    """Return the spec of the grader of ``item``: its own, or that which looks for accepted and rejected texts."""
    own = item.meta.get("grader")
    if isinstance(own, dict):
        return own
    return {"type": "contains", "accept": list(item.accept), "reject": list(item.reject)}


def item_fields(item: EvalItem) -> JSON:
    """Return what graders may name as ``item.…``: the question, its texts, and what else the item knows."""
    fields = {name: value for name, value in item.meta.items() if name != "grader"}
    return fields | {"question": item.question, "accept": list(item.accept), "reject": list(item.reject)}


async def grade_answer(
    item: EvalItem, answer: str, judge: Judge | None = None, more: Mapping[str, Any] | None = None
) -> Grade:
    """Return the grade of an answer in words; ``more`` is what else came with it, such as ``output_tools``."""
    return await grade(grader_of(item), item_fields(item), {"output_text": answer, **(more or {})}, judge)
