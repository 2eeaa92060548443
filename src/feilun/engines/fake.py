"""An engine without a model: answers by rule, for trials and tests. It passes the same contract tests as the real one.

It knows the seam's promises. It does not know any fact that was not put into it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from feilun.engines.seam import Delta, Request
from feilun.errors import BadRequest, ContextTooLong, EngineDown, NotFound
from feilun.records import ModelVersion, Usage, normalise_text


class FakeEngine:
    """Answers a known question with its answer, and any other by saying it again. One word is one token.

    ``answers`` maps a model's id to questions and answers. ``crash_after`` makes every call fail after that many words.
    """

    def __init__(self, answers: Mapping[str, Mapping[str, str]] | None = None, context: int = 2048) -> None:
        """Keep what it is to answer."""
        self.answers = {
            model: {normalise_text(question): answer for question, answer in known.items()}
            for model, known in (answers or {}).items()
        }
        self.context = context
        self.crash_after: int | None = None
        self.pause = 0.0
        self.loaded: dict[str, ModelVersion] = {}

    async def load(self, version: ModelVersion) -> dict[str, Any]:
        """Make a version servable; its identity is what the version says."""
        self.loaded[version.id] = version
        return dict(version.identity)

    async def generate(self, request: Request) -> AsyncIterator[Delta]:
        """Answer word by word."""
        if request.model not in self.loaded:
            raise NotFound(f"The engine has not loaded {request.model}.", param="model")
        if request.max_tokens < 1:
            raise BadRequest("max_tokens must be at least 1.", param="max_tokens")
        question = str(request.messages[-1].get("content") or "") if request.messages else ""
        prompt = "\n".join(f"{message['role']}: {message.get('content') or ''}" for message in request.messages)
        prompt_tokens = len(prompt.split())
        if prompt_tokens >= self.context:
            raise ContextTooLong(f"The messages are {prompt_tokens} tokens long; this model takes {self.context}.")
        yield Delta(prompt=prompt, usage=Usage(prompt_tokens, 0))
        answer = self.answers.get(request.model, {}).get(normalise_text(question), f"You said: {question}")
        made, said, finish = 0, "", "stop"
        for word in answer.split():
            if made == request.max_tokens:
                finish = "length"
                break
            if made == self.crash_after:
                raise EngineDown("The engine stopped while it answered.", "Try again in a moment.")
            await asyncio.sleep(self.pause)
            made += 1
            piece = word if not said else f" {word}"
            cut = min(
                (place for place in ((said + piece).find(stop) for stop in request.stop) if place >= 0), default=-1
            )
            if cut >= 0:
                if cut > len(said):
                    yield Delta(piece[: cut - len(said)])
                break
            said += piece
            yield Delta(piece, made, -0.1 if request.logprobs else None)
        yield Delta(finish=finish, usage=Usage(prompt_tokens, max(made, 1)))

    async def close(self) -> None:
        """Nothing to let go of."""
        self.loaded.clear()
