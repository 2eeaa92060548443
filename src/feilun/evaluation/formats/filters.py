"""What lm-evaluation-harness does with a generated answer before it compares, as a grader of ours.

This module knows the filters and metrics of a task's configuration. It does not know how a pattern is tried: that is
the grader's matter.
"""

from __future__ import annotations

import re

from feilun.errors import BadRequest
from feilun.grading import check
from feilun.records import JSON

_IGNORED = ("regexes_to_ignore", "ignore_case", "ignore_punctuation", "ignore_numbers")


def replaced(text: str, pattern: str, repl: str, count: int = 0) -> str:
    """Return ``text`` with a pattern replaced: the harness's own filter of templates."""
    return re.sub(pattern, repl, text, count=count)


def grader_of(config: JSON, references: list[str]) -> JSON:
    """Return the grader of a generating task: its first filter, then ``exact_match``; raise BadRequest."""
    metrics = config.get("metric_list") or [{"metric": "exact_match"}]
    wanted = next((each for each in metrics if isinstance(each, dict) and each.get("metric") == "exact_match"), None)
    if wanted is None:
        names = ", ".join(str(each.get("metric")) for each in metrics if isinstance(each, dict))
        raise BadRequest(f"The task is scored by {names[:100]}.", "Of generating tasks, exact_match is known.")
    listed = config.get("filter_list") or []
    steps = listed[0].get("filter", []) if isinstance(listed, list) and listed and isinstance(listed[0], dict) else []
    spec: JSON = {
        "type": "exact_match",
        "reference": references,
        "filters": [step for step in steps if step != {"function": "take_first"}],
        **{name: wanted[name] for name in _IGNORED if wanted.get(name)},
    }
    check(spec)
    return spec
