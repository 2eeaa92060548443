"""One model sits a whole exam: every question asked alone, every answer kept with its prompt and score.

Greedy, single turn, in fixed chunks that are saved before the next begins. The prompt that is kept is the one that the
engine says the model saw (template and all), or the question where it does not say. This module knows the engine seam
and how to go on after a kill. It does not know where answers are saved or what they prove.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

from feilun.compute.energy import Meter
from feilun.engines.seam import Engine, Request
from feilun.errors import BadRequest, EngineDown
from feilun.evaluation.answered import answered_by
from feilun.evaluation.likely import Reader, answer_likely, by_likelihood
from feilun.evaluation.scoring import grade_answer
from feilun.grading import Judge
from feilun.records import JSON, Eval, EvalAnswer, EvalItem, ModelVersion, Usage, new_id

Save = Callable[[list[EvalAnswer]], Awaitable[None]]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Sitting:
    """How an exam is sat, the same for every model: ``batch`` questions together, answers of ``max_tokens`` at most.

    An engine that is down is asked again, ``attempts`` times in all, after ``pause`` seconds that double each time.
    ``judge`` answers graders that ask a model.
    """

    batch: int = 16
    max_tokens: int = 48
    attempts: int = 5
    pause: float = 0.5
    judge: Judge | None = None


DEFAULT = Sitting()
TOGETHER = 256  # items that are read together by log-probability


async def sit(
    engine: Engine,
    version: ModelVersion,
    exam: Eval,
    run_id: str,
    save: Save,
    done: Collection[str] = (),
    progress: Progress | None = None,
    how: Sitting = DEFAULT,
) -> int:
    """Have ``version`` answer every item of ``exam`` and ``save`` the rows chunk by chunk; return how many were asked.

    ``done`` are the ids of items already saved. A chunk is skipped only if all of it is done, and is asked again as a
    whole otherwise, so that a resumed run sends the engine the same batches and ends with the same rows. ``progress``
    is called with (answered, all). Raises EngineDown after the last attempt, BadRequest if ``how`` cannot be.
    """
    if how.batch < 1 or how.max_tokens < 1 or how.attempts < 1:
        raise BadRequest("An exam needs a batch, answer tokens and attempts of at least 1.", "See Sitting.")
    finished, asked = frozenset(done), 0
    for start in range(0, len(exam.items), how.batch):
        chunk = exam.items[start : start + how.batch]
        if not all(item.id in finished for item in chunk):
            await save(await _answer_chunk(engine, version, chunk, run_id, how))
            asked += len(chunk)
        if progress:
            progress(start + len(chunk), len(exam.items))
    return asked


async def read_all(
    read: Reader,
    identity: JSON,
    exam: Eval,
    run_id: str,
    save: Save,
    done: Collection[str] = (),
    progress: Progress | None = None,
) -> int:
    """Have a model say which option it finds likeliest, for every item that has options; return how many were asked.

    ``identity`` is that of the model behind ``read``. Items are read in chunks, each saved before the next begins; what
    begins alike is computed once within a chunk. ``done`` are the ids of items already saved.
    """
    finished = frozenset(done)
    waiting = [item for item in exam.items if by_likelihood(item) and item.id not in finished]
    total = sum(by_likelihood(item) for item in exam.items)
    for start in range(0, len(waiting), TOGETHER):
        chunk, meter = waiting[start : start + TOGETHER], Meter()
        answers = await asyncio.to_thread(answer_likely, exam, chunk, run_id, read)
        await save(answered_by(answers, identity, meter.spent()))
        if progress:
            progress(total - len(waiting) + start + len(chunk), total)
    return len(waiting)


async def _answer_chunk(
    engine: Engine, version: ModelVersion, chunk: tuple[EvalItem, ...], run_id: str, how: Sitting
) -> list[EvalAnswer]:
    for attempt in range(how.attempts):
        if attempt:
            await asyncio.sleep(how.pause * 2 ** (attempt - 1))
        try:
            identity = await engine.load(version)
        except EngineDown as error:
            down: EngineDown = error
            continue
        group, meter = (new_id("group"), len(chunk)), Meter()
        answers = await asyncio.gather(
            *(_answer(engine, version, item, run_id, how, group) for item in chunk), return_exceptions=True
        )
        failures = [answer for answer in answers if isinstance(answer, BaseException)]
        for failure in failures:
            if not isinstance(failure, EngineDown):
                raise failure
            down = failure
        if not failures:
            given = [answer for answer in answers if isinstance(answer, EvalAnswer)]
            return answered_by(given, identity, meter.spent())
    raise EngineDown(
        f"The engine was down {how.attempts} times in a row: {down.message}",
        "Run the same command again: answered questions are kept.",
    ) from down


async def _answer(
    engine: Engine, version: ModelVersion, item: EvalItem, run_id: str, how: Sitting, group: tuple[str, int]
) -> EvalAnswer:
    request = Request(
        model=version.id,
        messages=tuple(item.meta.get("messages") or ({"role": "user", "content": item.question},)),
        max_tokens=max(how.max_tokens, int(item.meta.get("tokens") or 0)),
        stop=tuple(item.meta.get("stop") or ()),
        prompt=str(item.meta.get("prompt") or ""),
        tools=tuple(item.meta.get("tools") or ()),
        group=group[0],
        group_size=group[1],
    )
    pieces: list[str] = []
    prompt = item.question
    finish: str | None = None
    usage: Usage | None = None
    async for delta in engine.generate(request):
        pieces.append(delta.text)
        prompt, finish, usage = delta.prompt or prompt, delta.finish or finish, delta.usage or usage
    if finish is None:
        raise EngineDown("The engine stopped in the middle of an answer.", "Try again.")
    answer = "".join(pieces)
    meta = {
        "finish": finish,
        "prompt_tokens": usage.prompt_tokens if usage else 0,
        "completion_tokens": usage.completion_tokens if usage else 0,
    }
    grade = await grade_answer(item, answer, how.judge)
    if item.meta.get("grader"):
        meta |= {"why": grade.why, "passed": grade.passed}
    if grade.error:  # nobody knows whether the answer is right
        meta |= {"errored": True, "error": grade.error}
    return EvalAnswer(run_id, item.id, prompt, answer, grade.score, meta)
