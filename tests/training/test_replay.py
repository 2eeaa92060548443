"""What is replayed against forgetting: prompts that are not those of any exam of ours."""

from __future__ import annotations

import json

from feilun.evaluation import load_exam
from feilun.evaluation.ready import EXAMS, ready
from feilun.flywheel.result import GENERAL
from feilun.training.plan import PROMPTS

NEAR = 22  # letters and digits


def runs(text: str, length: int) -> set[str]:
    """Return all runs of so many letters and digits."""
    plain = "".join(char for char in text.lower() if char.isalnum())
    return {plain[at : at + length] for at in range(len(plain) - length + 1)}


def test_no_prompt_is_an_exam_question() -> None:
    """Else an exam would ask what was practised: some five words in common are too near."""
    prompts = [str(json.loads(line)["prompt"]) for line in PROMPTS.read_text(encoding="utf-8").splitlines()]
    assert len(set(prompts)) == len(prompts) == 361
    asked = [item.question for name in EXAMS for item in ready(name, "one").items]
    far = set().union(*(runs(text, NEAR) for text in asked))
    assert [prompt for prompt in prompts if runs(prompt, NEAR) & far] == []
    general = {item.question for item in load_exam(GENERAL, "one", "general").items}
    assert not general & set(prompts)
