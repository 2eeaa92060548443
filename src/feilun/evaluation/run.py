"""One model sits a whole exam: every question asked alone, every answer kept with its prompt and score.

Greedy, single turn, in fixed chunks that are saved before the next begins. The prompt that is kept is the one that the
engine says the model saw (template and all), or the question where it does not say. This module knows the engine seam
and how to go on after a kill. It does not know where answers are saved or what they prove.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

from feilun.engines.seam import Engine, Request
from feilun.errors import BadRequest, EngineDown
from feilun.evaluation.scoring import contains
from feilun.records import Eval, EvalAnswer, EvalItem, ModelVersion, Usage, new_id

Save = Callable[[list[EvalAnswer]], Awaitable[None]]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Sitting:
    """How an exam is sat, the same for every model: ``batch`` questions together, answers of ``max_tokens`` at most.

    An engine that is down is asked again, ``attempts`` times in all, after ``pause`` seconds that double each time.
    """

    batch: int = 16
    max_tokens: int = 48
    attempts: int = 5
    pause: float = 0.5


DEFAULT = Sitting()


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


async def _answer_chunk(
    engine: Engine, version: ModelVersion, chunk: tuple[EvalItem, ...], run_id: str, how: Sitting
) -> list[EvalAnswer]:
    for attempt in range(how.attempts):
        if attempt:
            await asyncio.sleep(how.pause * 2 ** (attempt - 1))
        try:
            await engine.load(version)
        except EngineDown as error:
            down: EngineDown = error
            continue
        group = (new_id("group"), len(chunk))
        answers = await asyncio.gather(
            *(_answer(engine, version, item, run_id, how, group) for item in chunk), return_exceptions=True
        )
        failures = [answer for answer in answers if isinstance(answer, BaseException)]
        for failure in failures:
            if not isinstance(failure, EngineDown):
                raise failure
            down = failure
        if not failures:
            return [answer for answer in answers if isinstance(answer, EvalAnswer)]
    raise EngineDown(
        f"The engine was down {how.attempts} times in a row: {down.message}",
        "Run the same command again: answered questions are kept.",
    ) from down


async def _answer(
    engine: Engine, version: ModelVersion, item: EvalItem, run_id: str, how: Sitting, group: tuple[str, int]
) -> EvalAnswer:
    request = Request(
        model=version.id,
        messages=({"role": "user", "content": item.question},),
        max_tokens=how.max_tokens,
        temperature=0.0,
        top_p=1.0,
        seed=None,
        stop=(),
        logprobs=False,
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
    return EvalAnswer(run_id, item.id, prompt, answer, contains(answer, item.accept, item.reject), meta)
