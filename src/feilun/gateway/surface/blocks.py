"""Messages of the Anthropic API, which are made of blocks, as messages of chat.

This module knows blocks, and which of them chat has a word for. It does not know options, answers or streams.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from feilun.errors import BadRequest
from feilun.gateway.surface.requests import MessagesTurn
from feilun.records import JSON

THOUGHTS = ("thinking", "redacted_thinking")


def system_text(system: str | Sequence[JSON] | None, place: str = "system") -> str:
    """Return the text of a system prompt; raise BadRequest for blocks that are no text."""
    if system is None or isinstance(system, str):
        return system or ""
    return "\n".join(_text(block, f"{place}[{number}]") for number, block in enumerate(system))


def to_messages(turns: Sequence[MessagesTurn]) -> list[JSON]:
    """Return the messages of chat that turns of blocks are; raise BadRequest that names the block."""
    messages: list[JSON] = []
    for number, turn in enumerate(turns):
        place = f"messages[{number}]"
        if turn.role == "system":
            messages.append({"role": "system", "content": system_text(turn.content, f"{place}.content")})
        elif isinstance(turn.content, str):
            messages.append({"role": turn.role, "content": turn.content})
        elif turn.role == "assistant":
            messages.append(_assistant(turn.content, place))
        else:
            messages += _user(turn.content, place)
    return messages


def _assistant(blocks: Sequence[JSON], place: str) -> JSON:
    texts, calls = [], []
    for number, block in enumerate(blocks):
        at = f"{place}.content[{number}]"
        kind = block.get("type")
        if kind == "tool_use":
            name, identifier = _field(block, "name", str, at), _field(block, "id", str, at)
            arguments = json.dumps(_field(block, "input", dict, at), ensure_ascii=False)
            calls.append({"id": identifier, "type": "function", "function": {"name": name, "arguments": arguments}})
        elif kind not in THOUGHTS:
            texts.append(_text(block, at))
    message: JSON = {"role": "assistant", "content": "".join(texts) or None}
    return message | {"tool_calls": calls} if calls else message | {"content": "".join(texts)}


def _user(blocks: Sequence[JSON], place: str) -> list[JSON]:
    results, parts = [], []
    for number, block in enumerate(blocks):
        at = f"{place}.content[{number}]"
        if block.get("type") == "tool_result":
            said, shown = _result(block, at)
            # Chat has answers of tools right behind their calls, and no images in them.
            results.append({"role": "tool", "tool_call_id": _field(block, "tool_use_id", str, at), "content": said})
            parts += shown
        else:
            parts.append(_part(block, at))
    if not parts:
        return results
    only = len(parts) == 1 and parts[0]["type"] == "text"
    return [*results, {"role": "user", "content": parts[0]["text"] if only else parts}]


def _result(block: JSON, place: str) -> tuple[str, list[JSON]]:
    content = block.get("content") or ""
    if isinstance(content, str):
        parts = [{"type": "text", "text": content}]
    elif isinstance(content, list):
        parts = [_part(part, f"{place}.content[{number}]") for number, part in enumerate(content)]
    else:
        raise BadRequest(f"{place}.content is neither a text nor a list.", param=f"{place}.content")
    said = "\n".join(part["text"] for part in parts if part["type"] == "text")
    if not said and block.get("is_error"):
        said = "error"
    return said, [part for part in parts if part["type"] != "text"]


def _part(block: Any, place: str) -> JSON:
    kind = block.get("type") if isinstance(block, dict) else None
    if kind == "image":
        return {"type": "image_url", "image_url": {"url": _image(block, place)}}
    if kind == "document":
        source = _field(block, "source", dict, place)
        if source.get("type") != "text":
            raise BadRequest(f"{place}: documents other than plain text are not taken.", "Send their text.", place)
        return {"type": "text", "text": _field(source, "data", str, f"{place}.source")}
    return {"type": "text", "text": _text(block, place)}


def _image(block: Mapping[str, Any], place: str) -> str:
    source = _field(block, "source", dict, place)
    if source.get("type") == "base64":
        media, data = (_field(source, name, str, f"{place}.source") for name in ("media_type", "data"))
        return f"data:{media};base64,{data}"
    if source.get("type") == "url":
        return str(_field(source, "url", str, f"{place}.source"))
    raise BadRequest(f"{place}.source.type: choices are base64 and url.", param=f"{place}.source.type")


def _text(block: Any, place: str) -> str:
    if not isinstance(block, dict) or block.get("type") != "text":
        kind = str(block.get("type") if isinstance(block, dict) else block)[:60]
        raise BadRequest(f"{place}: blocks of the type {kind!r} are not taken here.", "Send text.", place)
    return str(_field(block, "text", str, place))


def _field(block: Mapping[str, Any], name: str, kind: type, place: str) -> Any:
    if not isinstance(block.get(name), kind):
        raise BadRequest(f"{place}.{name} is missing, or of the wrong type.", param=f"{place}.{name}")
    return block[name]
