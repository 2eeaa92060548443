"""What is replayed against forgetting: prompts that are not those of any exam of ours, answered once by the base."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from feilun.errors import BadRequest
from feilun.evaluation import load_exam
from feilun.evaluation.ready import EXAMS, ready
from feilun.flywheel.result import GENERAL
from feilun.records import JSON
from feilun.training.plan import Plan, read_lines
from feilun.training.replay.answers import ensure_replay
from feilun.training.replay.prompts import BROAD, EVERYDAY, prompts_of, replay_file

NEAR = 22  # letters and digits


def runs(text: str, length: int) -> set[str]:
    """Return all runs of so many letters and digits."""
    plain = "".join(char for char in text.lower() if char.isalnum())
    return {plain[at : at + length] for at in range(len(plain) - length + 1)}


def test_no_prompt_is_an_exam_question() -> None:
    """Else an exam would ask what was practised: some five words in common are too near."""
    simple, broad = prompts_of(EVERYDAY), prompts_of(BROAD)
    assert len(set(simple)) == len(simple) == 361
    assert len(set(broad)) == len(broad) == 209
    prompts = sorted({*simple, *broad})
    asked = [item.question for name in EXAMS for item in ready(name, "one").items]
    far = set().union(*(runs(text, NEAR) for text in asked))
    assert [prompt for prompt in prompts if runs(prompt, NEAR) & far] == []
    general = {item.question for item in load_exam(GENERAL, "one", "general").items}
    assert not general & set(prompts)


def test_the_base_answers_so_many_prompts_so_far(base: Path, tmp_path: Path) -> None:
    """Every prompt is asked, answers are followed as far as the plan says, and a file that is there stays."""
    told: list[JSON] = []
    files = {shape: replay_file(tmp_path, "model-1", *shape) for shape in ((BROAD, 3), (BROAD, 9), (EVERYDAY, 3))}
    assert len(set(files.values())) == 3
    short = Plan(str(base), "", str(files[BROAD, 3]), "", "", replay_prompts=BROAD, replay_tokens=3)
    long = replace(short, replay=str(files[BROAD, 9]), replay_tokens=9)
    for plan in (short, long, replace(long, replay=short.replay)):
        ensure_replay(plan, lambda **message: told.append(message))
    assert len(told) == 8  # four times 64 prompts, twice
    lines, more = read_lines(short.replay), read_lines(long.replay)
    assert [line["prompt"] for line in lines] == prompts_of(BROAD)
    cut = [(one, other) for one, other in zip(lines, more, strict=True) if one["finish"] == "length"]
    assert cut
    assert sum(len(other["answer"]) for _, other in cut) > 2 * sum(len(one["answer"]) for one, _ in cut)


def test_prompts_that_are_none_are_named() -> None:
    """A list that nobody wrote is refused, with those that there are."""
    with pytest.raises(BadRequest, match="nothing") as refused:
        prompts_of("nothing")
    assert "broad" in refused.value.hint
