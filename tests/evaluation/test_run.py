"""Sitting an exam: chunks, resuming, and engines that fall over."""

import asyncio
from dataclasses import dataclass, field

import pytest

from feilun.engines.seam import Delta
from feilun.errors import BadModel, BadRequest, EngineDown
from feilun.evaluation.run import Sitting, sit
from feilun.records import Eval, EvalItem, ModelVersion, Usage

EXAM = Eval(
    "eval-1", "demo", "own", tuple(EvalItem(f"item-{n}", f"What is {n} and 1?", (str(n + 1),)) for n in range(7))
)
VERSION = ModelVersion("model-1", "demo", "own", "adapter", "model-0", "", {})
QUICK = Sitting(batch=3, attempts=3, pause=0.0)


@dataclass
class Adder:
    """An engine that adds one to the number in the question, and falls over at the calls it is told to."""

    falls: set[int] = field(default_factory=set)
    breaks: set[int] = field(default_factory=set)
    refuses: bool = False
    shows_prompt: bool = True
    requests: list = field(default_factory=list)
    loads: int = 0
    at_once: int = 0
    most: int = 0
    busy: asyncio.Event = field(default_factory=asyncio.Event)

    async def load(self, version):
        """Count, or refuse."""
        self.loads += 1
        if self.refuses:
            raise BadModel("This model cannot be read.")
        return dict(version.identity)

    async def generate(self, request):
        """Answer in two pieces."""
        self.requests.append(request)
        number = len(self.requests)
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        self.busy.set()
        try:
            await asyncio.sleep(0)
            if number in self.falls:
                raise EngineDown("The engine fell over.")
            question = request.messages[0]["content"]
            yield Delta("It is ", prompt=f"<user>{question}" if self.shows_prompt else None)
            if number not in self.breaks:
                right = int(question.split()[2]) + 1
                yield Delta(str(right if right != 4 else 5), finish="stop", usage=Usage(9, 4))
        finally:
            self.at_once -= 1

    async def close(self):
        """Nothing is held."""


class Rows(dict):
    """Saved rows by item, and the chunks they came in."""

    def __init__(self):
        super().__init__()
        self.chunks = []

    async def save(self, rows):
        """Upsert like the store."""
        self.chunks.append([row.item for row in rows])
        self.update({row.item: row for row in rows})


async def test_sit_keeps_everything():
    """Every item is asked once, in concurrent chunks, and kept with prompt, answer, score, finish and tokens."""
    engine, rows, seen = Adder(), Rows(), []
    asked = await sit(engine, VERSION, EXAM, "evalrun-1", rows.save, progress=lambda *at: seen.append(at), how=QUICK)
    assert asked == 7
    assert [len(chunk) for chunk in rows.chunks] == [3, 3, 1]
    assert seen == [(3, 7), (6, 7), (7, 7)]
    assert engine.most == 3
    assert [row.score for row in rows.values()] == [1, 1, 1, 0, 1, 1, 1]
    first = rows["item-0"]
    assert (first.run, first.prompt, first.answer) == ("evalrun-1", "<user>What is 0 and 1?", "It is 1")
    assert {"finish": "stop", "prompt_tokens": 9, "completion_tokens": 4}.items() <= first.meta.items()
    assert first.meta["seconds"] >= 0
    request = engine.requests[0]
    assert (request.model, request.max_tokens, request.temperature) == ("model-1", 3 * 16, 0.0)
    assert request.messages == ({"role": "user", "content": "What is 0 and 1?"},)


async def test_sit_keeps_the_question_where_the_engine_shows_no_prompt():
    """An engine that cannot say what the model saw leaves the question as the prompt."""
    rows = Rows()
    await sit(Adder(shows_prompt=False), VERSION, EXAM, "evalrun-1", rows.save)
    assert rows["item-0"].prompt == "What is 0 and 1?"


@pytest.mark.parametrize("cut", range(8))
async def test_sit_resumes_with_identical_rows(cut):
    """Whatever was saved before a kill, the rows end the same, and half-done chunks are asked as a whole."""
    whole, rows, engine = Rows(), Rows(), Adder()
    await sit(Adder(), VERSION, EXAM, "evalrun-1", whole.save, how=QUICK)
    done = {f"item-{n}" for n in range(cut)}
    rows.update({key: whole[key] for key in done})
    asked = await sit(engine, VERSION, EXAM, "evalrun-1", rows.save, done, how=QUICK)
    said = [{(row.item, row.prompt, row.answer, row.score) for row in each.values()} for each in (rows, whole)]
    assert said[0] == said[1]
    assert len(rows) == len(whole)
    assert asked == len(engine.requests) == {0: 7, 1: 7, 2: 7, 3: 4, 4: 4, 5: 4, 6: 1, 7: 0}[cut]
    assert engine.loads == len(rows.chunks)


async def test_sit_tries_again():
    """A fall and a broken answer cost a repeat of their chunk, nothing else."""
    engine, rows = Adder(falls={2}, breaks={8}), Rows()
    await sit(engine, VERSION, EXAM, "evalrun-1", rows.save, how=QUICK)
    assert [len(chunk) for chunk in rows.chunks] == [3, 3, 1]
    assert len(engine.requests) == 7 + 3 + 3


async def test_sit_gives_up_and_keeps_what_it_has():
    """An engine that stays down ends in EngineDown with the hint; saved chunks stay, broken ones are not saved."""
    engine, rows = Adder(falls=set(range(4, 100))), Rows()
    with pytest.raises(EngineDown, match="3 times in a row: The engine fell over") as caught:
        await sit(engine, VERSION, EXAM, "evalrun-1", rows.save, how=QUICK)
    assert "kept" in caught.value.hint
    assert list(rows) == ["item-0", "item-1", "item-2"]


async def test_sit_does_not_repeat_other_errors():
    """A model that cannot be loaded is told at once."""
    engine = Adder(refuses=True)
    with pytest.raises(BadModel):
        await sit(engine, VERSION, EXAM, "evalrun-1", Rows().save, how=QUICK)
    assert engine.loads == 1


async def test_sit_can_be_cancelled():
    """Cancelling stops the engine's work and saves nothing half."""
    engine, rows = Adder(), Rows()
    task = asyncio.create_task(sit(engine, VERSION, EXAM, "evalrun-1", rows.save, how=QUICK))
    await engine.busy.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert engine.at_once == 0
    assert not rows


@pytest.mark.parametrize("how", [Sitting(batch=0), Sitting(max_tokens=0), Sitting(attempts=0)])
async def test_sit_refuses_impossible_settings(how):
    """Nothing below one is possible."""
    with pytest.raises(BadRequest):
        await sit(Adder(), VERSION, EXAM, "evalrun-1", Rows().save, how=how)
