"""Reasoning from verified answers: the model tries, a grader verifies, what is right is learnt.

Read ``train`` from top to bottom. To every prompt the present model gives several answers with their reasoning; those
that a grader passes are kept, each way of reasoning once, and learnt as in supervised training. Sampling is seeded, and
kept prompt by prompt: a run that was killed goes on with the same answers. It knows prompts, items and graders by their
spec. It does not know exams, nor what a grader looks at.

Sources: STaR (Zelikman et al. 2022); rejection sampling fine-tuning (Yuan et al. 2023).
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from feilun.compute import say
from feilun.engines.prompts import Prompter
from feilun.engines.seam import Request
from feilun.errors import BadRequest, TooFewSamples
from feilun.grading import Grade, check, grade
from feilun.records import JSON, content_hash, normalise_text
from feilun.training.methods import sft
from feilun.training.plan import Plan, read_lines
from feilun.training.preference.rollouts import SLOTS, Answer, Rollouts
from feilun.training.recipes import numbers

LEAST = 2  # prompts that were answered rightly, for there to be anything to learn
AT_ONCE = 8  # graders may start processes
ENOUGH = 32  # so many grades show whether a grader works


@dataclass(frozen=True, slots=True)
class Task:
    """A prompt, and what its grader is told."""

    prompt: tuple[JSON, ...]
    item: JSON


def train(plan: Plan) -> None:
    """Run the whole recipe; raise TooFewSamples, BadRequest, BadModel or OutOfSpace."""
    grader = plan.options.get("grader")
    if not isinstance(grader, dict):
        raise BadRequest("Reasoning needs a grader that verifies answers.", "Name one.", param="grader")
    check(grader)
    options = numbers("reasoning", plan.options)
    prompter = Prompter(Path(plan.base))
    tasks = read_tasks(plan, prompter, round(options["max_tokens"]))
    tried = sample(plan, prompter, tasks, grader, options)
    lines, facts = verified(tasks, tried, round(options["ways"]))
    say(note=f"{facts['solved']} of {facts['prompts']} prompts were answered rightly; {len(lines)} answers are learnt.")
    if facts["solved"] < LEAST:
        raise TooFewSamples(
            f"Of {facts['prompts']} prompts {facts['solved']} were ever answered rightly: there is nothing to learn.",
            "Give easier prompts, more samples, or a grader that reads the form in which the model answers.",
        )
    if facts.get("warning"):
        say(warning=facts["warning"])
    learnt = Path(plan.scratch) / "verified.jsonl"
    fresh = learnt.with_suffix(".part")
    fresh.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    fresh.replace(learnt)
    sft.train(replace(plan, samples=str(learnt), held_out="", options={}), facts)


def read_tasks(plan: Plan, prompter: Prompter, room: int) -> list[Task]:
    """Return the prompts that leave room for an answer; raise BadRequest that names a line, TooFewSamples."""
    found, lines = list[Task](), read_lines(plan.samples)
    for number, line in enumerate(lines, 1):
        prompt = line.get("prompt")
        if not isinstance(prompt, list) or not prompt:
            raise BadRequest(f"Line {number} has no prompt.", "A line has a prompt (messages) and an item.", "prompt")
        if len(prompter.encode(prompter.render(prompt))) + min(room, plan.longest // 2) <= plan.longest:
            found.append(Task(tuple(prompt), dict(line.get("item") or {})))
    if len(found) < len(lines):
        say(note=f"{len(lines) - len(found)} of {len(lines)} prompts leave no room for an answer and are left out.")
    if len(found) < LEAST:
        raise TooFewSamples(f"{len(found)} prompts can be answered; at least {LEAST} are needed.", "Shorten them.")
    return found


def sample(
    plan: Plan, prompter: Prompter, tasks: Sequence[Task], grader: JSON, options: dict[str, float]
) -> list[list[JSON]]:
    """Return the tried answers to every task, each ``{"text", "ended", "score", "passed", "error"}``.

    Those of some prompts are written down together; a run that goes on tries only the prompts behind them. Raises
    BadRequest for a grader that mostly fails.
    """
    log = Log(Path(plan.scratch) / "tried.jsonl", content_hash([replace(plan, replay="").digest(), grader, options]))
    tried, count = log.read(), round(options["samples"])
    together = max(1, SLOTS // count)  # prompts whose answers fill the batch
    if len(tried) >= len(tasks):
        return tried
    rollouts = Rollouts(Path(plan.base), Path(plan.scratch), prompter.template, plan.longest)
    try:
        rollouts.batcher.load("present", Path(plan.base), Path(plan.start) if plan.start else None)
        for begin in range(len(tried), len(tasks), together):
            say(note=f"The model tries answers: {begin} of {len(tasks)} prompts.")
            part = tasks[begin : begin + together]
            answers = rollouts.sample(_requests(plan, part, begin, options))
            items = [task.item for task in part for _ in range(count)]
            grades = asyncio.run(_grades(grader, items, answers, rollouts))
            rows = [_row(answer, given) for answer, given in zip(answers, grades, strict=True)]
            found = [rows[at : at + count] for at in range(0, len(rows), count)]
            log.add(found)
            tried += found
            _check_grader(tried)
    finally:
        rollouts.close()
    return tried


def verified(tasks: Sequence[Task], tried: Sequence[Sequence[JSON]], ways: int) -> tuple[list[JSON], JSON]:
    """Return what is learnt (lines of supervised training) and the facts of the trying.

    Of each task's right answers, at most ``ways`` are kept that differ in more than case and marks, in the order in
    which they came; an answer that was cut off is not kept.
    """
    lines: list[JSON] = []
    solved = 0
    for task, rows in zip(tasks, tried, strict=True):
        right = {normalise_text(row["text"]): row["text"] for row in reversed(rows) if row["passed"] and row["ended"]}
        kept = list(reversed(right.values()))[:ways]
        solved += bool(kept)
        lines += [{"messages": [*task.prompt, {"role": "assistant", "content": text}]} for text in kept]
    each = [row for rows in tried for row in rows]
    facts: JSON = {
        "prompts": len(tasks),
        "solved": solved,
        "tried": len(each),
        "passed": round(sum(row["passed"] for row in each) / max(1, len(each)), 4),
        "verified": len(lines),
        "grade_errors": sum(bool(row["error"]) for row in each),
    }
    graded = {row["score"] for row in each if not row["error"]}
    if len(graded) == 1:
        facts["warning"] = (
            f"All {len(each)} answers were graded {graded.pop():g}: the grader tells none from another, so nothing but "
            "what the model says anyhow could be learnt. Try the grader on a wrong answer."
        )
    return lines, facts


class Log:
    """What was tried, in a file that begins with the digest of the run; a line holds the answers to some prompts."""

    def __init__(self, file: Path, digest: str) -> None:
        """Name the file and the run."""
        self._file, self._digest = file, digest

    def read(self) -> list[list[JSON]]:
        """Return what is there of this run; of another run, or cut short, nothing stays."""
        try:
            lines = self._file.read_text(encoding="utf-8").split("\n")
        except (OSError, UnicodeDecodeError):
            lines = [""]
        found: list[list[JSON]] = []
        whole = 0
        if lines[0] == self._digest and len(lines) > 1:
            whole = 1
            for line in lines[1:-1]:
                found += json.loads(line)
                whole += 1
        self._file.parent.mkdir(parents=True, exist_ok=True)
        kept = "".join(line + "\n" for line in lines[:whole]) or self._digest + "\n"
        fresh = self._file.with_suffix(".part")
        fresh.write_text(kept, encoding="utf-8")
        fresh.replace(self._file)
        return found

    def add(self, rows: Sequence[Sequence[JSON]]) -> None:
        """Write down what some prompts were answered; return once it is on disk."""
        with self._file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(rows, ensure_ascii=False) + "\n")
            stream.flush()
            os.fsync(stream.fileno())


def _requests(plan: Plan, tasks: Sequence[Task], begin: int, options: dict[str, float]) -> list[Request]:
    found = []
    for place, task in enumerate(tasks, begin):
        for index in range(round(options["samples"])):
            drawn = int(content_hash([plan.seed, place, index])[:15], 16)
            size, heat, most = round(options["max_tokens"]), options["temperature"], options["top_p"]
            found.append(Request("present", task.prompt, size, temperature=heat, top_p=most, seed=drawn))
    return found


async def _grades(spec: JSON, items: Sequence[JSON], answers: Sequence[Answer], rollouts: Rollouts) -> list[Grade]:
    room = asyncio.Semaphore(AT_ONCE)

    async def one(item: JSON, answer: Answer) -> Grade:
        async with room:
            return await grade(spec, item, {"output_text": answer.text}, rollouts.judge)

    return await asyncio.gather(*(one(item, answer) for item, answer in zip(items, answers, strict=True)))


def _row(answer: Answer, given: Grade) -> JSON:
    return {
        "text": answer.text,
        "ended": answer.ended,
        "score": given.score,
        "passed": given.passed,
        "error": given.error[:300],
    }


def _check_grader(tried: Sequence[Sequence[JSON]]) -> None:
    errors = [row["error"] for rows in tried for row in rows if row["error"]]
    count = sum(len(rows) for rows in tried)
    if count >= ENOUGH and 2 * len(errors) > count:
        raise BadRequest(
            f"{len(errors)} of {count} grades failed, so nothing is verified. The grader said: {errors[0]}",
            "Try the grader on an answer, mend it, and start again.",
            param="grader",
        )
