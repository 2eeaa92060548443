"""An engine without a model: answers by rule, for trials and tests. It passes the same contract tests as the real one.

It knows the seam's promises. It does not know any fact that was not put into it.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from feilun.engines.prompts import Stops
from feilun.engines.schema import Unsatisfiable, answer_schema, call_text, functions, is_free, smallest
from feilun.engines.seam import Delta, Request
from feilun.errors import BadRequest, ContextTooLong, EngineDown, NotFound
from feilun.records import JSON, ModelVersion, Usage, normalise_text

LOGPROB = -0.1


class FakeEngine:
    """Answers a known question with its answer, and any other by saying it again. One word is one token.

    ``answers`` maps a model's id to questions and answers. A tool is called if it must be, or if the question names it;
    arguments, and answers that must conform to a schema, are the smallest that do. ``crash_after`` makes every call
    fail after that many words, ``failures`` that share of calls at any word; ``pause`` is the time between words (s).
    ``counts`` is what it made, also of calls that were given up.
    """

    def __init__(self, answers: Mapping[str, Mapping[str, str]] | None = None, context: int = 2048) -> None:
        """Keep what it is to answer."""
        self.answers = {
            model: {normalise_text(question): answer for question, answer in known.items()}
            for model, known in (answers or {}).items()
        }
        self.context = context
        self.crash_after: int | None = None
        self.failures = 0.0
        self.pause = 0.0
        self.random = random.Random(0)
        self.loaded: dict[str, ModelVersion] = {}
        self.running = 0
        self.counts = {"calls": 0, "prompt_tokens": 0, "completion_tokens": 0, "cached_tokens": 0}
        self._given_up: dict[int, bool] = {}

    async def load(self, version: ModelVersion) -> dict[str, Any]:
        """Make a version servable; its identity is what the version says, or its id where there are no files."""
        self.loaded[version.id] = version
        return dict(version.identity) or {"version": version.id}

    async def unload(self, model: str) -> None:
        """Forget a version; calls that run go on."""
        self.loaded.pop(model, None)

    def stop(self, request: Request) -> None:
        """End the call of this very request: its last delta says ``cancelled``."""
        if id(request) in self._given_up:
            self._given_up[id(request)] = True

    def text(self, model: str, tokens: list[int]) -> str:
        """Return the text of token numbers: the numbers."""
        self._check_loaded(model)
        return " ".join(map(str, tokens))

    async def count(self, request: Request) -> int:
        """Return how many tokens the prompt of a request has."""
        self._check_loaded(request.model)
        return len(_prompt(request).split())

    def state(self) -> JSON:
        """Return what it does just now."""
        return {"alive": True, "running": self.running, "waiting": 0, "models": sorted(self.loaded)}

    def _check_loaded(self, model: str) -> None:
        if model not in self.loaded:
            raise NotFound(f"The engine has not loaded {model}.", param="model")

    async def generate(self, request: Request) -> AsyncGenerator[Delta, None]:
        """Answer word by word."""
        self._check_loaded(request.model)
        if request.max_tokens < 1:
            raise BadRequest("max_tokens must be at least 1.", param="max_tokens")
        prompt = _prompt(request)
        tokens = len(prompt.split())
        if tokens >= self.context:
            what = "prompt" if request.prompt else "messages"
            raise ContextTooLong(
                f"The {what} are {tokens} tokens long; this model takes {self.context}.", "Shorten them.", what
            )
        words, crash = self._answer(request), self._crash()
        made, self._given_up[id(request)] = 0, False
        self.running += 1
        try:
            yield Delta(prompt=prompt, usage=Usage(tokens, 0))
            stops, finish, said, given = Stops(request.stop, request.grammar), "stop", "", 0
            for word in words:
                if made == request.max_tokens:
                    finish = "length"
                    break
                if made == crash:
                    raise EngineDown("The engine stopped while it answered.", "Try again in a moment.")
                await asyncio.sleep(self.pause)
                if self._given_up[id(request)]:
                    finish = "cancelled"
                    break
                made, said = made + 1, said + word
                begin, given = given, stops.certain(said, given)
                yield self._delta(request, word, said[begin:given], made, Usage(tokens, made))
                if stops.met:
                    break
            made = made if finish == "cancelled" else max(made, 1)
            rest = "" if stops.met else said[given : stops.certain(said, given, over=True)]
            finish = "stop" if stops.met else finish
            yield Delta(rest, finish=finish, usage=Usage(tokens, made), stopped_by=stops.met)
        finally:
            self.running -= 1
            self._given_up.pop(id(request), None)
            for name, more in (("calls", 1), ("prompt_tokens", tokens), ("completion_tokens", made)):
                self.counts[name] += more

    def _crash(self) -> int | None:
        if self.failures and self.random.random() < self.failures:
            return self.random.randrange(1, 10)
        return self.crash_after

    def _delta(self, request: Request, word: str, text: str, number: int, usage: Usage) -> Delta:
        if not request.logprobs:
            return Delta(text, number, usage=usage, piece=word.encode())
        top = [(word, LOGPROB), *((f" other{n}", LOGPROB - n) for n in range(1, request.top_logprobs))]
        likely = tuple((other.encode(), value) for other, value in top[: request.top_logprobs])
        return Delta(text, number, LOGPROB, None, usage, None, word.encode(), likely)

    def _answer(self, request: Request) -> list[str]:
        question = request.prompt or (str(request.messages[-1].get("content") or "") if request.messages else "")
        answer = self.answers.get(request.model, {}).get(normalise_text(question), f"You said: {question}")
        if not request.grammar:
            return re.findall(r"\s*\S+", answer)
        calls, form = functions(request.grammar), answer_schema(request.grammar)
        asked = any(name in question for name, _ in calls)
        try:
            if calls and (asked or not is_free(request.grammar)):
                named = [each for each in calls if each[0] in question] or calls[:1]
                answer = "\n".join(call_text(name, smallest(schema)) for name, schema in named)
            elif form is not None:
                answer = json.dumps(smallest(form), separators=(",", ":"))
            else:
                return re.findall(r"\s*\S+", answer)
        except Unsatisfiable as error:
            raise BadRequest(f"This schema cannot be enforced: {error}.", param="response_format") from error
        return re.findall(r"\s*\S{1,8}", answer)

    async def close(self) -> None:
        """Nothing to let go of."""
        self.loaded.clear()


def _prompt(request: Request) -> str:
    if request.prompt:
        return request.prompt
    return "\n".join(f"{message['role']}: {message.get('content') or ''}" for message in request.messages)
