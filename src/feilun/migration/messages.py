"""Conversations as other systems write them, as messages in OpenAI's form.

It knows texts, message lists, content blocks and objects that hold them. It does not know where any of them is kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from feilun.migration.rows import parsed
from feilun.records import JSON

_ROLES = {"developer": "system", "human": "user", "ai": "assistant", "model": "assistant", "function": "tool"}
_KNOWN = frozenset({"system", "user", "assistant", "tool"})

_BESIDE: dict[str, type] = {"tool_calls": list, "tool_call_id": str, "name": str}


def text_of(value: Any) -> str:
    """Return the words of a content: a text, blocks, an object with a text in it; else its JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return "\n".join(filter(None, (text_of(part) for part in value)))
    if isinstance(value, Mapping):
        for name in ("text", "value", "content", "output_text", "answer", "raw"):
            if isinstance(value.get(name), str | list):
                return text_of(value[name])
        if isinstance(value.get("arguments"), Mapping) and value.get("type") in ("text", "template"):
            return _json(value["arguments"])
    return _json(value)


def asked(value: Any) -> tuple[JSON, ...]:
    """Return the messages of an input: a list of messages, an object that has one, else one message of the user."""
    value = parsed(value)
    found = value
    if isinstance(value, Mapping):
        found = value.get("messages", value.get("input") if isinstance(value.get("input"), list) else value)
        found = [found] if isinstance(found, Mapping) and "role" in found else found
    if isinstance(found, list) and found and all(isinstance(each, Mapping) and "role" in each for each in found):
        said = [message for each in found for message in _message(each)]
        system = value.get("system") if isinstance(value, Mapping) else None
        return (*([{"role": "system", "content": text_of(system)}] if system else []), *said)
    text = text_of(_single(value))
    return ({"role": "user", "content": text},) if text.strip() else ()


def answered(value: Any) -> str:
    """Return the text of an output: a text, a message, content blocks, a completion; else its JSON."""
    value = parsed(value)
    if isinstance(value, Mapping):
        choices = value.get("choices")
        if isinstance(choices, list) and choices and isinstance(choices[0], Mapping):
            message = choices[0].get("message")
            return text_of(message.get("content") if isinstance(message, Mapping) else message)
        if set(value) <= {"role", "content", "refusal", "tool_calls", "annotations", "audio", "name"}:
            return text_of(value.get("content"))
        if set(value) <= {"raw", "parsed"} and value:
            raw = value.get("raw")
            return raw if isinstance(raw, str) else _json(value.get("parsed"))
        return text_of(_single(value))
    if isinstance(value, list) and value and all(isinstance(each, Mapping) for each in value):
        if all("role" in each for each in value):
            last = [each for each in value if each.get("role") in ("assistant", "ai", "model")]
            return text_of(last[-1].get("content")) if last else ""
        return text_of([each for each in value if each.get("type", "text") in ("text", "output_text")])
    return text_of(value) if isinstance(value, str | None) else _json(value)


def _single(value: Any) -> Any:
    """Return the only value of an object that wraps one text under a usual name; else the value."""
    if isinstance(value, Mapping) and len(value) == 1:
        (name, inside), *_ = value.items()
        if isinstance(inside, str) and name in {"question", "query", "input", "prompt", "text", "answer", "output"}:
            return inside
    return value


def _message(given: Mapping[str, Any]) -> list[JSON]:
    """Return a message in our form; results of tools are messages of their own."""
    role = _ROLES.get(str(given["role"]), str(given["role"]))
    role = role if role in _KNOWN else "user"
    content = parsed(given.get("content")) if isinstance(given.get("content"), str) else given.get("content")
    content = given.get("content") if isinstance(content, str | int | float | Mapping) else content
    if not isinstance(content, list):
        message: JSON = {"role": role, "content": text_of(content)}
        kept = {
            name: given[name] for name, kind in _BESIDE.items() if given.get(name) and isinstance(given[name], kind)
        }
        return [message | kept]
    calls = [part for part in content if isinstance(part, Mapping) and part.get("type") == "tool_call"]
    results = [part for part in content if isinstance(part, Mapping) and part.get("type") == "tool_result"]
    rest = [part for part in content if part not in calls and part not in results]
    found: list[JSON] = [
        {"role": "tool", "tool_call_id": str(part.get("id", "")), "content": text_of(part.get("result"))}
        for part in results
    ]
    if rest or calls:
        message = {"role": role, "content": text_of(rest)}
        if calls:
            message["tool_calls"] = [
                {
                    "id": str(part.get("id", "")),
                    "type": "function",
                    "function": {
                        "name": str(part.get("name") or part.get("raw_name") or ""),
                        "arguments": _text_or_json(part.get("arguments", part.get("raw_arguments"))),
                    },
                }
                for part in calls
            ]
        found.append(message)
    return found


def _text_or_json(value: Any) -> str:
    return value if isinstance(value, str) else _json(value)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
