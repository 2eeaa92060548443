"""Ask a model of this machine, or one behind an OpenAI-compatible address, and grade what it says.

This module knows both ways to a model. It does not know what is asked, nor why.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Protocol
from urllib.parse import urlsplit

import httpx

from feilun.compute.energy import Meter
from feilun.engines import Engine, Request
from feilun.errors import BadRequest, ContextTooLong, EngineDown, UpstreamError
from feilun.grading import grade, tokens
from feilun.records import JSON, EvalItem, ModelVersion, content_hash, new_id

_HERE = {"127.0.0.1", "localhost", "::1"}
_SECONDS = 300.0
_TOGETHER = 4


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer: its score (0 to 1), what it took, and the hash of what gave it (empty: nobody says)."""

    item: str
    score: float
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    identity: str
    answer: str

    def plain(self) -> JSON:
        """Return it as JSON."""
        return asdict(self)


class Way(Protocol):
    """Who answers: ``outside`` says that questions leave this machine."""

    outside: bool

    async def ask(self, items: Sequence[EvalItem], asked: Sequence[tuple[JSON, ...]], model: str) -> list[Reply]:
        """Return graded answers to the messages ``asked`` about ``items``; ``model`` empty is the usual one."""
        ...


class Inside:
    """Models of this machine, through an engine."""

    outside = False

    def __init__(self, engine: Engine, versions: dict[str, ModelVersion], most: int) -> None:
        """Ask ``engine`` for the versions by their ids (empty: the usual one), with answers of ``most`` tokens."""
        self._engine, self._versions, self._most = engine, versions, most

    async def ask(self, items: Sequence[EvalItem], asked: Sequence[tuple[JSON, ...]], model: str) -> list[Reply]:
        """Return graded answers, greedy, asked as one group so that rounding is the same each time."""
        version, group = self._versions[model], new_id("group")
        identity = content_hash(await self._engine.load(version))
        meter = Meter()

        async def one(messages: tuple[JSON, ...]) -> tuple[str, int, int]:
            request = Request(version.id, messages, self._most, group=group, group_size=len(asked))
            pieces, usage, finish = [], None, None
            try:
                async for delta in self._engine.generate(request):
                    pieces.append(delta.text)
                    usage, finish = delta.usage or usage, delta.finish or finish
            except ContextTooLong:  # what was put before the question does not fit: that is a wrong answer
                return "", 0, 0
            if finish is None:
                raise EngineDown("The engine stopped in the middle of an answer.", "Run the same command again.")
            return "".join(pieces), usage.prompt_tokens if usage else 0, usage.completion_tokens if usage else 0

        said = await asyncio.gather(*(one(messages) for messages in asked))
        return await _graded(items, said, meter.spent().seconds / max(1, len(said)), identity)


@dataclass(frozen=True, slots=True)
class Outside:
    """A model behind an address: its name there, and the key."""

    url: str
    model: str
    key: str = ""


class Over:
    """A model behind an OpenAI-compatible address."""

    def __init__(self, client: httpx.AsyncClient, where: Outside, most: int) -> None:
        """Ask over ``client``; an address of another machine is outside."""
        self.outside = urlsplit(where.url).hostname not in _HERE
        self._client, self._where, self._most = client, where, most
        self._gate = asyncio.Semaphore(_TOGETHER)

    async def ask(self, items: Sequence[EvalItem], asked: Sequence[tuple[JSON, ...]], model: str) -> list[Reply]:
        """Return graded answers; ``model`` is not used, the address knows one."""
        del model
        meter = Meter()
        said = await asyncio.gather(*(self._one(messages) for messages in asked))
        models = {name for _, name in said}
        identity = content_hash([self._where.url, sorted(models)])
        answers = [answer for answer, _ in said]
        return await _graded(items, answers, meter.spent().seconds / max(1, len(said)), identity)

    async def _one(self, messages: tuple[JSON, ...]) -> tuple[tuple[str, int, int], str]:
        body = {"model": self._where.model, "messages": list(messages), "temperature": 0, "seed": 1}
        url = f"{self._where.url.rstrip('/')}/chat/completions"
        try:
            async with self._gate:
                found = await self._client.post(url, json={**body, "max_tokens": self._most})
        except httpx.HTTPError as error:
            raise EngineDown(f"{url} does not answer: {error}", "Start it with feilun up, or give --url.") from error
        if found.status_code in {401, 403}:
            raise BadRequest(f"{url} refuses the key ({found.status_code}).", "See --key-from.")
        if found.status_code != 200:
            raise UpstreamError(f"{url} answered {found.status_code}: {found.text[:300]}")
        try:
            whole = found.json()
            text = str(whole["choices"][0]["message"]["content"] or "")
            usage = whole.get("usage") or {}
            prompt = int(usage.get("prompt_tokens") or sum(len(tokens(str(m["content"]))) for m in messages))
            return (text, prompt, int(usage.get("completion_tokens") or len(tokens(text)))), str(whole.get("model", ""))
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise UpstreamError(f"{url} answered what is no chat completion.") from error


@asynccontextmanager
async def over(where: Outside, most: int) -> AsyncIterator[Over]:
    """Give the way to a model behind an address; raise BadRequest for what is no address.

    A gateway of this machine is told to send nothing on to others.
    """
    parts = urlsplit(where.url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise BadRequest(f"{where.url!r} is no address.", "Give http://127.0.0.1:8600/v1, say.")
    here = parts.hostname in _HERE
    headers = {"Authorization": f"Bearer {where.key}"} if where.key else {}
    headers |= {"x-feilun-leave": "no"} if here else {}
    async with httpx.AsyncClient(headers=headers, timeout=_SECONDS, trust_env=not here) as client:
        yield Over(client, where, most)


async def _graded(
    items: Sequence[EvalItem], said: Sequence[tuple[str, int, int]], seconds: float, identity: str
) -> list[Reply]:
    found = []
    for item, (text, prompt, completion) in zip(items, said, strict=True):
        spec = item.meta.get("grader") or {"type": "contains", "accept": list(item.accept), "reject": list(item.reject)}
        given = await grade(spec, {**item.meta, "question": item.question}, {"output_text": text})
        found.append(Reply(item.id, float(given.score), prompt, completion, seconds, identity, text))
    return found
