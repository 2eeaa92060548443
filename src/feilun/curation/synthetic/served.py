"""Models behind an OpenAI-compatible API, asked one message list at a time.

This module knows addresses, keys and chat completions. It does not know what is asked, nor what becomes of answers.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import httpx

from feilun.curation.synthetic.making import Writer
from feilun.errors import BadRequest, EngineDown, UpstreamError
from feilun.records import JSON

_HERE = {"127.0.0.1", "localhost", "::1"}
_SECONDS = 300.0


@asynccontextmanager
async def served(url: str, key: str) -> AsyncIterator[Callable[[str], Writer]]:
    """Give what makes a writer of a model's name at ``url``; raise BadRequest for what is no address.

    A gateway on this machine is told to send nothing outside; any other address is outside.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise BadRequest(f"{url!r} is no address.", "Give http://127.0.0.1:8600/v1, say.")
    here = parts.hostname in _HERE
    headers = {"Authorization": f"Bearer {key}"} | ({"x-feilun-leave": "no"} if here else {})
    async with httpx.AsyncClient(headers=headers, timeout=_SECONDS, trust_env=not here) as client:

        def writer(model: str) -> Writer:
            async def ask(messages: Sequence[JSON], most: int) -> str:
                return await _ask(client, url, {"model": model, "messages": list(messages), "max_tokens": most})

            return Writer(ask, model, not here)

        yield writer


async def _ask(client: httpx.AsyncClient, url: str, body: JSON) -> str:
    """Return what the model answers; raise EngineDown, UpstreamError."""
    try:
        answer = await client.post(f"{url.rstrip('/')}/chat/completions", json={**body, "temperature": 0, "seed": 1})
    except httpx.HTTPError as error:
        raise EngineDown(f"{url} does not answer: {error}", "Start it with feilun up, or give --url.") from error
    if answer.status_code in {401, 403}:
        raise BadRequest(f"{url} refuses the key ({answer.status_code}).", "Put a key into the variable of --key-from.")
    try:
        if answer.status_code == 200:
            return str(answer.json()["choices"][0]["message"]["content"] or "")
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise UpstreamError(f"{url} answered what is no chat completion.") from error
    raise UpstreamError(f"{url} answered {answer.status_code}: {answer.text[:300]}")
