"""The batcher: many calls at once are each answered as if alone, come and go, and cannot hurt each other."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.engines.calls import Heard, ask, until
from tests.models import tiny_adapter, tiny_model
from transformers import AutoModelForCausalLM

from feilun.engines import batch
from feilun.engines.batch import Batcher
from feilun.engines.cache import BLOCK
from feilun.engines.sampling import draw
from feilun.errors import BadModel, BadRequest, ContextTooLong, EngineDown, EngineError, NotFound

QUESTIONS = [
    "What is the rate?",
    "利率是多少？",
    "a",
    "Tell me about the credit union, its members, and what they pay today for a loan of any size. " * 2,
    "谢谢 🙂",
    "rate rate rate",
    "",
    "You are a helpful assistant.",
]


def counted(heard: Heard) -> tuple[int, int]:
    """Return the tokens of prompt and answer, as the last delta counts them."""
    usage = heard.last.usage
    assert usage is not None
    return usage.prompt_tokens, usage.completion_tokens


def test_greedy_equals_transformers(batcher: Batcher, llama: Path) -> None:
    """Greedy tokens and their log-probabilities are those of transformers' ``generate``."""
    model = AutoModelForCausalLM.from_pretrained(llama, dtype=torch.float32)
    for question in QUESTIONS[:5]:
        heard = Heard(batcher, ask(question)).wait()
        prompt = torch.tensor([heard.call.prompt])
        found = model.generate(prompt, max_new_tokens=12, do_sample=False)[0, prompt.shape[1] :]
        assert heard.tokens == found.tolist()
        with torch.inference_mode():
            whole = torch.cat((prompt[0], found))
            logprobs = model(whole[None]).logits[0, prompt.shape[1] - 1 : -1].log_softmax(-1)
        expected = logprobs[torch.arange(len(found)), found]
        torch.testing.assert_close(torch.tensor(heard.logprobs), expected, rtol=0, atol=1e-4)


def test_many_at_once_equal_each_alone(batcher: Batcher) -> None:
    """Twice as many calls as slots, of all lengths, to three models: each gets the answer that it gets alone."""
    wanted = [
        ask(question, ("base", "red", "blue")[index % 3], max_tokens=4 + index * 2)
        for index, question in enumerate(QUESTIONS)
    ]
    alone = [Heard(batcher, request).wait() for request in wanted]
    together = [Heard(batcher, request) for request in wanted]
    for one, among in zip(alone, together, strict=True):
        among.wait()
        assert among.tokens == one.tokens
        assert among.text == one.text
        assert counted(among) == counted(one) == (len(one.call.prompt), len(one.tokens))
        assert among.logprobs == pytest.approx(one.logprobs, abs=1e-4)


def test_models_answer_differently(batcher: Batcher) -> None:
    """The three models do not give one answer, so the tests above can see a wrong adapter; the templates differ too."""
    found = {model: Heard(batcher, ask("What is the rate?", model)).wait() for model in ("base", "red", "blue")}
    assert len({tuple(heard.tokens) for heard in found.values()}) == 3
    assert "a terse assistant" in (found["blue"].deltas[0].prompt or "")
    assert "a helpful assistant" in (found["red"].deltas[0].prompt or "")


def grouped(batcher: Batcher, name: str, order: list[int]) -> list[tuple[list[int], list[float]]]:
    """Ask four questions as one group, in ``order``, while others ask too; return tokens and log-probabilities."""
    others = [Heard(batcher, ask("rate " * (5 + len(order)), max_tokens=20)) for _ in range(3)]
    heard: dict[int, Heard] = {}
    for index in order:
        model = ("base", "red")[index % 2]
        request = ask(QUESTIONS[index // 2], model, group=name, group_size=len(order), max_tokens=8 + index)
        heard[index] = Heard(batcher, request)
        others.append(Heard(batcher, ask(QUESTIONS[index], "blue", max_tokens=9)))
    for each in (*heard.values(), *others):
        each.wait()
    return [(heard[index].tokens, heard[index].logprobs) for index in sorted(heard)]


def test_a_group_gives_the_same_bits(batcher: Batcher) -> None:
    """Log-probabilities of a group are equal to the last bit, whatever order its calls arrive in and who else asks."""
    first = grouped(batcher, "g1", [0, 1, 2, 3])
    assert [len(tokens) for tokens, _ in first] == [8, 9, 10, 11]
    for number, order in enumerate(([3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1])):
        assert grouped(batcher, f"again-{number}", order) == first


def test_a_common_beginning_is_computed_once(llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More calls than the cache's first slots, longer than its first room, much in common: as if alone."""
    batcher = Batcher(llama, 20, 512)
    batcher.load("base", llama, None)
    questions = [QUESTIONS[3], *(f"{QUESTIONS[3]} {number} {'rate ' * number}" for number in range(19))]
    alone = [Heard(batcher, ask(question)).wait() for question in questions]
    real, rows = batcher.decoder.hidden, list[int]()

    def counted(ids: torch.Tensor, *rest: Any) -> torch.Tensor:
        rows.append(len(ids))
        return real(ids, *rest)

    monkeypatch.setattr(batcher.decoder, "hidden", counted)
    together = [Heard(batcher, ask(question, group="g", group_size=20)) for question in questions]
    for one, among in zip(alone, together, strict=True):
        assert among.wait().tokens == one.tokens
        assert among.logprobs == pytest.approx(one.logprobs, abs=1e-4)
    batcher.stop()
    prompts = [heard.call.prompt for heard in alone]
    common = next(at for at, tokens in enumerate(zip(*prompts, strict=False)) if len(set(tokens)) > 1)
    assert max(map(len, prompts)) > 128
    assert common > 100
    answers = sum(len(heard.tokens) - 1 for heard in together)
    assert sum(rows) == sum(map(len, prompts)) - 19 * (common // BLOCK * BLOCK) + answers


def test_a_group_is_answered_alone(batcher: Batcher) -> None:
    """Nobody joins while a group is being answered; whoever waited is answered after it."""
    together: list[int] = []
    group = [
        Heard(
            batcher,
            ask(f"{n}", group="g", group_size=2, max_tokens=30),
            lambda _: together.append(len(batcher.running)),
        )
        for n in range(2)
    ]
    later = Heard(batcher, ask("later"))
    for each in (*group, later):
        each.wait()
    assert max(together) == 2


def test_a_group_does_not_starve(batcher: Batcher) -> None:
    """Under calls that never pause, a group gets its turn: later calls wait for it."""
    stop = threading.Event()

    def busy() -> None:
        while not stop.is_set():
            Heard(batcher, ask("busy", max_tokens=6)).wait()

    threads = [threading.Thread(target=busy) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for number in range(3):
            group = [Heard(batcher, ask(f"{n}", group=f"g{number}", group_size=3)) for n in range(3)]
            for each in group:
                each.wait()
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_a_member_that_left_blocks_nobody(batcher: Batcher) -> None:
    """A member that left, or was refused, is not waited for by its group; other calls are answered meanwhile."""
    leaver = Heard(batcher, ask("leaver", group="g", group_size=3))
    leaver.call.gone.set()
    assert Heard(batcher, ask("other")).wait().text
    stayer = Heard(batcher, ask("stayer", group="g", group_size=3))
    with pytest.raises(ContextTooLong):
        Heard(batcher, ask("long " * 500, group="g", group_size=3))
    assert stayer.wait().last.finish
    assert leaver.wait().last.finish == "cancelled"
    assert batcher.groups == {}


def test_a_group_that_never_comes_is_refused(batcher: Batcher, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls of a group whose others never come get an error, in time."""
    monkeypatch.setattr(batch, "GROUP_SECONDS", 0.2)
    lonely = Heard(batcher, ask("lonely", group="g", group_size=2))
    with pytest.raises(EngineDown, match="group"):
        lonely.wait()
    assert Heard(batcher, ask("other")).wait().text


def test_a_group_larger_than_the_slots(batcher: Batcher) -> None:
    """A group that can never be together is refused."""
    with pytest.raises(BadRequest, match="at most 4"):
        batcher.submit(ask("x", group="g", group_size=5), lambda _: None)


def test_a_call_that_leaves_frees_its_slot(batcher: Batcher) -> None:
    """All slots are taken by long calls; one leaves, and a waiting call gets its slot before the others end."""
    long = [Heard(batcher, ask("long", max_tokens=200)) for _ in range(4)]
    until(lambda: len(batcher.running) == 4)
    waiting = Heard(batcher, ask("short", max_tokens=1))
    long[0].call.gone.set()
    waiting.wait()
    assert not all(each.over.is_set() for each in long[1:])
    for each in long[1:]:
        each.call.gone.set()
    until(lambda: batcher.free == [0, 1, 2, 3])
    assert {each.wait().last.finish for each in long} == {"cancelled"}


def test_max_tokens_and_usage(batcher: Batcher) -> None:
    """The answer is as long as was allowed, says so, and counts prompt and answer tokens."""
    for most in (1, 7):
        heard = Heard(batcher, ask("hello", max_tokens=most)).wait()
        assert heard.last.finish == "length"
        usage = heard.last.usage
        assert usage is not None
        assert (usage.prompt_tokens, usage.completion_tokens) == (len(heard.call.prompt), most)
        assert len(heard.tokens) == most
    assert batcher.free == [0, 1, 2, 3]


def test_context_bounds_the_answer(batcher: Batcher) -> None:
    """A prompt that fills the context is refused; one just below is answered up to the context's end."""
    with pytest.raises(ContextTooLong, match="256"):
        batcher.submit(ask("rate " * 400), lambda _: None)
    words = 1
    while len(Heard(batcher, ask("x " * words, max_tokens=1)).wait().call.prompt) < 248:
        words += 1
    heard = Heard(batcher, ask("x " * words, max_tokens=500)).wait()
    assert heard.last.finish == "length"
    assert len(heard.call.prompt) + len(heard.tokens) == 256


def test_wrong_requests(batcher: Batcher) -> None:
    """What cannot be answered is refused at once, each with its own error."""
    with pytest.raises(NotFound, match="green"):
        batcher.submit(ask("x", "green"), lambda _: None)
    with pytest.raises(BadRequest, match="max_tokens"):
        batcher.submit(ask("x", max_tokens=0), lambda _: None)
    with pytest.raises(BadRequest, match="surrogate"):
        batcher.submit(ask("half a character: \ud83d"), lambda _: None)


def test_an_empty_prompt_is_refused(tmp_path: Path) -> None:
    """A template that renders to nothing gives an error, and the loop lives on."""
    folder = tiny_model(tmp_path, template="{% for m in messages %}{{ m['content'] }}{% endfor %}")
    batcher = Batcher(folder, 1, 64)
    batcher.load("base", folder, None)
    with pytest.raises(BadRequest, match="empty"):
        batcher.submit(ask(""), lambda _: None)
    assert Heard(batcher, ask("x")).wait().tokens
    batcher.stop()


def test_the_end_token_ends_the_answer(tmp_path: Path) -> None:
    """A token that the generation settings name as an end stops the answer, and is no part of its text."""
    folder = tiny_model(tmp_path)
    first = Batcher(folder, 1, 64)
    first.load("base", folder, None)
    tokens = Heard(first, ask("x")).wait().tokens
    first.stop()
    (folder / "generation_config.json").write_text(f'{{"eos_token_id": [2, {tokens[3]}]}}')
    second = Batcher(folder, 1, 64)
    second.load("base", folder, None)
    heard = Heard(second, ask("x")).wait()
    second.stop()
    cut = tokens.index(tokens[3])
    assert heard.last.finish == "stop"
    assert heard.text == second.versions["base"][0].decode(tokens[:cut])
    assert heard.last.usage is not None
    assert heard.last.usage.completion_tokens == cut + 1


def test_sampling_follows_its_seed(batcher: Batcher) -> None:
    """The same seed gives the same answer, alone or among others; other seeds give others; big seeds are taken."""
    seeds = (1, 2, 3, -1, 2**70)
    alone = [Heard(batcher, ask("x", temperature=1.5, seed=seed)).wait().tokens for seed in seeds]
    among = [Heard(batcher, ask("x", temperature=1.5, seed=seed)) for seed in seeds]
    assert [heard.wait().tokens for heard in among] == alone
    assert len({tuple(tokens) for tokens in alone[:3]}) == 3
    unseeded = [Heard(batcher, ask("x", temperature=1.5)).wait().tokens for _ in range(2)]
    assert unseeded[0] != unseeded[1]


def test_extreme_sampling_is_greedy_or_harmless(batcher: Batcher) -> None:
    """A tiny ``top_p`` or temperature takes the best token, and breaks no other call; a huge one still answers."""
    greedy = Heard(batcher, ask("x")).wait().tokens
    extremes = [{"temperature": 1.0, "top_p": 0.0}, {"temperature": 1.0, "top_p": 1e-9}, {"temperature": 1e-320}]
    beside = Heard(batcher, ask("x", max_tokens=100))
    for extreme in extremes:
        assert Heard(batcher, ask("x", seed=1, **extreme)).wait().tokens == greedy
    assert len(Heard(batcher, ask("x", seed=1, temperature=1e300)).wait().tokens) == 12
    assert len(beside.wait().tokens) == 100


def test_top_p_keeps_the_nucleus() -> None:
    """Tokens beyond the smallest set that holds ``top_p`` are never drawn; those inside follow their chances."""
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()
    random = torch.Generator().manual_seed(0)
    drawn = [draw(logits, ask("x", temperature=1.0, top_p=0.75), random) for _ in range(2000)]
    assert set(drawn) == {0, 1}
    assert drawn.count(0) / 2000 == pytest.approx(0.5 / 0.8, abs=0.05)


def test_stop_text_across_tokens(batcher: Batcher) -> None:
    """A stop text that begins in one token and ends in another stops the answer before it."""
    free = Heard(batcher, ask("What is the rate?", max_tokens=40)).wait()
    text = free.text.rstrip("\ufffd")
    for begin in range(2, 8):
        stop = text[begin : begin + 5]
        heard = Heard(batcher, ask("What is the rate?", max_tokens=40, stop=(stop, "never said"))).wait()
        assert heard.text == text[: text.index(stop)]
        assert heard.last.finish == "stop"


def test_an_adapter_is_loaded_while_others_stream(batcher: Batcher, llama: Path, tmp_path: Path) -> None:
    """Loading adapters, good and bad, disturbs no running call; the good one serves at once."""
    expected = [Heard(batcher, ask(question, "red", max_tokens=60)).wait().tokens for question in QUESTIONS[:3]]
    running = [Heard(batcher, ask(question, "red", max_tokens=60)) for question in QUESTIONS[:3]]
    folder = tiny_adapter(tmp_path / "green", llama, seed=9)
    batcher.load("green", llama, folder)
    narrow = tiny_adapter(tmp_path / "narrow", tiny_model(tmp_path / "other", hidden_size=64, head_dim=16))
    with pytest.raises(BadModel, match="does not fit"):
        batcher.load("narrow", llama, narrow)
    fresh = Heard(batcher, ask("a", "green")).wait()
    assert fresh.tokens != Heard(batcher, ask("a")).wait().tokens
    assert [heard.wait().tokens for heard in running] == expected
    with pytest.raises(NotFound):
        batcher.submit(ask("x", "narrow"), lambda _: None)


def test_a_failure_inside_reaches_its_callers(batcher: Batcher, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a step fails, its callers get an error, the slots are free again, and the next call is answered."""
    real, broken = batcher.decoder.logits, iter([IndexError("index out of range"), RuntimeError("out of memory")])

    def failing(hidden: torch.Tensor) -> torch.Tensor:
        for error in broken:
            raise error
        return real(hidden)

    monkeypatch.setattr(batcher.decoder, "logits", failing)
    for words in ("out of range", "out of memory"):
        with pytest.raises(EngineError, match=words):
            Heard(batcher, ask("x")).wait()
    assert Heard(batcher, ask("x")).wait().tokens
    assert batcher.free == [0, 1, 2, 3]
