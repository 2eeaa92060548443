"""A criterion that several tests of evals judge by."""

from __future__ import annotations

HOLDS = {
    "type": "string_check",
    "name": "holds",
    "input": "{{ sample.output_text }}",
    "reference": "{{ item.answer }}",
    "operation": "ilike",
}
