"""The choice of tokens: penalties, bias, grammars, likely alternatives; and what every delta says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tests.engines.calls import Heard, ask
from tests.models import CHATML, tiny_model

from feilun.engines.batch import Batcher
from feilun.engines.prompts import Prompter
from feilun.engines.seam import Request
from feilun.errors import BadRequest, EngineError, NotFound
from feilun.records import Usage


class Spelling:
    """A grammar that allows one sequence of tokens and notes how many were said to be left."""

    def __init__(self, tokens: list[int], vocabulary: int) -> None:
        """Allow ``tokens``."""
        self.tokens, self.vocabulary = list(tokens), vocabulary
        self.left: list[int] = []

    def closing(self, left: int) -> None:
        """Note it."""
        self.left.append(left)

    def mask(self) -> torch.Tensor | None:
        """Allow the next token alone."""
        mask = torch.full((self.vocabulary,), float("-inf"))
        mask[self.tokens[0]] = 0
        return mask

    def take(self, token: int) -> bool:
        """Go on."""
        assert token == self.tokens.pop(0)
        return bool(self.tokens)


class Spellings:
    """Grammars that are the text to spell."""

    made: Spelling

    def __init__(self, prompter: Prompter, vocabulary: int) -> None:
        """Spell with ``prompter``."""
        self.prompter, self.vocabulary = prompter, vocabulary

    def begin(self, grammar: str) -> Spelling:
        """Refuse an empty spelling; one that is ``broken`` fails at its second token."""
        if grammar == "bad":
            raise BadRequest("That is no grammar.", param="response_format")
        Spellings.made = Spelling(self.prompter.encode(grammar), self.vocabulary)
        if grammar == "broken":
            Spellings.made.tokens[1:] = [self.vocabulary + 5]
        return Spellings.made


@pytest.fixture(scope="module")
def speller(llama: Path) -> Iterator[Batcher]:
    """Give a batcher that takes spellings as grammars."""
    made = Batcher(llama, 4, 256, Spellings)
    made.load("base", llama, None)
    yield made
    made.stop()


def test_a_raw_prompt_is_taken_as_it_is(speller: Batcher) -> None:
    """A prompt goes to the model without a template, special tokens and all."""
    heard = Heard(speller, Request("base", (), 3, prompt="<|im_start|>rate for")).wait()
    assert heard.deltas[0].prompt == "<|im_start|>rate for"
    assert heard.call.prompt == speller.versions["base"].prompter.encode("<|im_start|>rate for")
    assert heard.call.prompt[0] == 1


def test_tools_reach_the_template(tmp_path: Path) -> None:
    """A template that shows tools is given them, and none where there are none."""
    folder = tiny_model(tmp_path, template="{% if tools %}{{ tools[0].name }}|{% endif %}" + CHATML)
    prompter = Prompter(folder)
    talk = [{"role": "user", "content": "x"}]
    assert prompter.render(talk, tools=[{"name": "look_up"}]) == "look_up|" + prompter.render(talk)


def test_every_delta_counts(speller: Batcher) -> None:
    """Usage grows by one a token to the whole; pieces are the tokens' own texts."""
    heard = Heard(speller, ask("What is the rate?", max_tokens=9)).wait()
    prompt = len(heard.call.prompt)
    assert [delta.usage for delta in heard.deltas] == [Usage(prompt, made) for made in range(10)]
    prompter = speller.versions["base"].prompter
    pieces = [prompter.raw(token) for token in heard.tokens]
    assert [delta.piece for delta in heard.deltas[1:]] == pieces
    assert prompter.piece(prompter.encode(" rate")[0]).startswith(" ")
    assert prompter.piece(2) == "<|im_end|>"


def test_likely_alternatives_are_the_models_own(speller: Batcher) -> None:
    """Alternatives are the best by the plain model, best first, also where a bias chose another token."""
    plain = Heard(speller, ask("x", top_logprobs=5, max_tokens=4)).wait()
    prompter = speller.versions["base"].prompter
    for delta in plain.deltas[1:]:
        assert delta.token is not None
        assert len(delta.top) == 5
        assert delta.top[0] == (prompter.raw(delta.token), delta.logprob)
        assert [value for _, value in delta.top] == sorted((value for _, value in delta.top), reverse=True)
    first = plain.tokens[0]
    biased = Heard(speller, ask("x", top_logprobs=5, max_tokens=1, logit_bias=((first, -100.0),))).wait()
    assert biased.tokens[0] != first
    assert biased.last.top[0] == pytest.approx(plain.deltas[1].top[0])
    assert biased.logprobs[0] == pytest.approx(dict(plain.deltas[1].top)[biased.last.piece], abs=1e-4)


def test_bias_forbids_and_forces(speller: Batcher) -> None:
    """A large bias forces a token everywhere; one of a token that does not exist is refused."""
    heard = Heard(speller, ask("x", logit_bias=((77, 1000.0),), max_tokens=5)).wait()
    assert heard.tokens == [77] * 5
    for wrong in (-1, speller.decoder.shape.vocabulary):
        with pytest.raises(BadRequest, match="logit_bias"):
            speller.submit(ask("x", logit_bias=((wrong, 1.0),)), lambda _: None)
    with pytest.raises(BadRequest, match="top_logprobs"):
        speller.submit(ask("x", top_logprobs=-1), lambda _: None)


def test_penalties_keep_from_repeating(speller: Batcher) -> None:
    """A frequency penalty counts repetitions, a presence penalty only whether a token was there."""
    forced = {"logit_bias": ((77, 50.0), (78, 45.0), (79, 40.0)), "max_tokens": 6}
    assert Heard(speller, ask("x", **forced)).wait().tokens == [77] * 6
    frequent = Heard(speller, ask("x", frequency_penalty=9.0, **forced)).wait().tokens
    present = Heard(speller, ask("x", presence_penalty=9.0, **forced)).wait().tokens
    assert frequent.count(77) > 1
    assert {77, 78} <= set(frequent)
    assert frequent != present
    assert len(set(Heard(speller, ask("x", presence_penalty=1e4, max_tokens=20)).wait().tokens)) == 20


def test_a_grammar_decides(speller: Batcher) -> None:
    """The answer is what the grammar allows, ends where it is complete, and the grammar hears what is left."""
    free = Heard(speller, ask("x", max_tokens=20)).wait()
    for more in ({}, {"temperature": 1.0, "seed": 3}):
        heard = Heard(speller, ask("x", grammar='{"rate": 4}', max_tokens=20, **more)).wait()
        assert heard.text == '{"rate": 4}'
        assert heard.last.finish == "stop"
        assert Spellings.made.left == list(range(20, 20 - len(heard.tokens), -1))
    assert Heard(speller, ask("x", grammar='{"rate": 4}', max_tokens=2)).wait().last.finish == "length"
    assert free.tokens == Heard(speller, ask("x", max_tokens=20)).wait().tokens


def test_a_bad_grammar_is_refused_at_once(speller: Batcher, batcher: Batcher) -> None:
    """What is no grammar is refused before the call is queued, and any grammar by an engine without them."""
    with pytest.raises(BadRequest, match="no grammar"):
        speller.submit(ask("x", grammar="bad"), lambda _: None)
    with pytest.raises(BadRequest, match="grammar"):
        batcher.submit(ask("x", grammar="{}"), lambda _: None)


def test_a_grammar_that_breaks_hurts_only_its_call(speller: Batcher) -> None:
    """A grammar that fails in the middle ends its own call with an error; the others go on."""
    beside = Heard(speller, ask("x", max_tokens=60))
    with pytest.raises(EngineError):
        Heard(speller, ask("x", grammar="broken")).wait()
    assert len(beside.wait().tokens) == 60
    assert speller.free == [0, 1, 2, 3]


def test_given_up_calls_end_and_are_counted(llama: Path) -> None:
    """A call that is given up ends as cancelled with what it cost; one that had not begun cost nothing."""
    batcher = Batcher(llama, 1, 256)
    batcher.load("base", llama, None)
    running = Heard(batcher, ask("a", max_tokens=200), lambda delta: running.call.gone.set() if delta.token else None)
    waiting = Heard(batcher, ask("b"))
    assert batcher.pending() <= 2
    waiting.call.gone.set()
    for heard in (running, waiting):
        assert heard.wait().last.finish == "cancelled"
    assert waiting.last.usage == Usage(0, 0)
    used = running.last.usage
    assert used is not None
    assert used.prompt_tokens == len(running.call.prompt)
    assert 1 <= used.completion_tokens < 200
    whole = Heard(batcher, ask("c", max_tokens=5)).wait().last.usage
    assert whole is not None
    assert batcher.counts == {
        "calls": 3,
        "prompt_tokens": used.prompt_tokens + whole.prompt_tokens,
        "completion_tokens": used.completion_tokens + 5,
        "cached_tokens": whole.cached_tokens,
    }
    batcher.stop()


def test_unloading_waits_for_nobody(batcher: Batcher) -> None:
    """A call that runs goes on with the adapter it began with; new calls to the version are refused."""
    expected = Heard(batcher, ask("x", "red", max_tokens=40)).wait().tokens
    running = Heard(batcher, ask("x", "red", max_tokens=40, seed=1))
    batcher.unload("red")
    batcher.unload("never loaded")
    with pytest.raises(NotFound):
        batcher.submit(ask("x", "red"), lambda _: None)
    assert running.wait().tokens == expected
    Heard(batcher, ask("x", "blue")).wait()
    red = running.call.loaded.adapter
    assert red not in batcher.mixture.adapters
    assert id(red) not in batcher.prefixes.roots
