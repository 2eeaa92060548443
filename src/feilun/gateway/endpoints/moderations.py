"""``POST /v1/moderations``: what the rules say of texts. Rule-based: no model is asked.

This module knows inputs. It does not know the rules.
"""

from __future__ import annotations

import asyncio

import msgspec

from feilun.errors import BadRequest, TooLarge
from feilun.gateway.described import Described, decode
from feilun.gateway.state import Gateway, HotHandler
from feilun.gateway.surface import rules
from feilun.gateway.surface.answers import ModerationAnswer
from feilun.gateway.surface.requests import ModerationRequest
from feilun.records import JSON, Key, new_id
from feilun.wire import Exchange

PATH = "/v1/moderations"
MOST_CHARACTERS = 200_000
_SHORT = 2_000
_encode = msgspec.json.Encoder().encode


async def create_moderation(here: Gateway, key: Key, exchange: Exchange) -> None:
    """Say for every text which categories it belongs to."""
    del here, key
    texts = texts_of(decode(exchange.body, ModerationRequest))
    if sum(map(len, texts)) <= _SHORT:
        answer = moderated(texts)
    else:
        answer = await asyncio.to_thread(moderated, texts)
    exchange.respond(200, _encode(answer))


def texts_of(request: ModerationRequest) -> list[str]:
    """Return the texts that get a result each (parts of one input count as one); raise BadRequest, TooLarge."""
    given = [request.input] if isinstance(request.input, str) else request.input
    if not given:
        raise BadRequest("There is nothing to look at.", "Give an input.", "input")
    parts = [_text(part, f"input[{number}]") for number, part in enumerate(given)]
    if sum(map(len, parts)) > MOST_CHARACTERS:
        raise TooLarge(f"The input has more than {MOST_CHARACTERS} characters.", "Send less at once.", "input")
    return ["\n".join(parts)] if any(isinstance(part, dict) for part in given) else parts


def _text(part: str | JSON, place: str) -> str:
    if isinstance(part, str):
        return part
    if part.get("type") == "image_url":
        raise BadRequest(f"{place}: images cannot be moderated here.", "Send texts only.", place)
    if part.get("type") != "text" or not isinstance(part.get("text"), str):
        raise BadRequest(f"{place} is no part of text.", 'Send {"type": "text", "text": …}.', place)
    return str(part["text"])


def moderated(texts: list[str]) -> JSON:
    """Return the answer for texts, in the OpenAI shape."""
    results = [rules.result(rules.judge(text)) for text in texts]
    return {"id": new_id("modr"), "model": rules.MODEL, "results": results}


HOT: dict[tuple[str, str], HotHandler] = {("POST", PATH): create_moderation}
DESCRIBED = [Described("POST", PATH, "Which categories texts belong to", ModerationRequest, ModerationAnswer)]
