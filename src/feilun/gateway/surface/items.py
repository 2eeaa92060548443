"""Items of the responses API: what comes in made complete, and what a conversation of items is in messages of chat.

Ids of items derive from the id of their response, so an item is found again by its id alone. This module knows items.
It does not know requests, models or where responses are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from feilun.errors import BadRequest
from feilun.records import JSON

_ROLES = ("user", "system", "developer", "assistant")
_MOST_ITEMS = 100_000
_TEXT_PARTS = ("input_text", "output_text", "text")


def tail(identifier: str) -> str:
    """Return what stands behind the prefix of an id, by which ids of one call are told to belong together."""
    for mark in ("-", "_"):
        head, found, rest = identifier.partition(mark)
        if found and head.isalpha() and rest:
            return rest
    return identifier


def owner(item_id: str) -> str:
    """Return the id of the response that an item with this id would belong to."""
    return f"resp_{tail(item_id).rsplit('_', 1)[0]}"


def completed(given: str | Sequence[JSON]) -> list[JSON]:
    """Return the items of an input, complete but for their ids, references left as they are; raise BadRequest."""
    if isinstance(given, str):
        given = [{"type": "message", "role": "user", "content": given}]
    if len(given) > _MOST_ITEMS:
        raise BadRequest(f"The input has more than {_MOST_ITEMS} items.", param="input")
    found = []
    for number, item in enumerate(given):
        place = f"input[{number}]"
        kind = item.get("type") or ("message" if "role" in item else None)
        if not isinstance(kind, str) or kind not in _COMPLETE:
            raise BadRequest(f"{place}: items of the type {str(kind)[:60]!r} are not taken.", param=place)
        found.append(_COMPLETE[kind](item, place))
    return found


def numbered(items: Sequence[JSON], response_id: str) -> list[JSON]:
    """Return items with an id each; those that have one (of an earlier response) keep it."""
    return [
        {"id": f"{_PREFIX[item['type']]}_{tail(response_id)}_i{number}", **item} for number, item in enumerate(items)
    ]


def _message(item: JSON, place: str) -> JSON:
    role, content = item.get("role"), item.get("content")
    if role not in _ROLES:
        raise BadRequest(f"{place}.role: choices are {', '.join(_ROLES)}.", param=f"{place}.role")
    if isinstance(content, str):
        content = [{"type": "output_text" if role == "assistant" else "input_text", "text": content}]
    if not isinstance(content, list):
        raise BadRequest(f"{place}.content is neither a text nor a list.", param=f"{place}.content")
    parts = [_part(part, role, f"{place}.content[{number}]") for number, part in enumerate(content)]
    return {"type": "message", "role": role, "content": parts, "status": "completed"}


def _part(part: Any, role: str, place: str) -> JSON:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind in _TEXT_PARTS and isinstance(part.get("text"), str):
        said = {"type": "output_text", "text": part["text"], "annotations": []}
        return said if role == "assistant" else {"type": "input_text", "text": part["text"]}
    if kind == "refusal" and role == "assistant" and isinstance(part.get("refusal"), str):
        return {"type": "refusal", "refusal": part["refusal"]}
    if kind == "input_image" and role != "assistant":
        if not isinstance(part.get("image_url"), str):
            raise BadRequest(f"{place}: an image needs an image_url.", "Images by file_id are not taken.", place)
        detail = part.get("detail") if part.get("detail") in ("low", "high") else "auto"
        return {"type": "input_image", "image_url": part["image_url"], "detail": detail}
    raise BadRequest(f"{place}: parts of the type {str(kind)[:60]!r} are not taken here.", "Send text.", place)


def _call(item: JSON, place: str) -> JSON:
    names = ("call_id", "name", "arguments")
    return {"type": "function_call", **_texts(item, names, place), "status": "completed"}


def _output(item: JSON, place: str) -> JSON:
    output = item.get("output")
    if isinstance(output, list):
        output = [_part(part, "user", f"{place}.output[{number}]") for number, part in enumerate(output)]
    elif not isinstance(output, str):
        raise BadRequest(f"{place}.output is neither a text nor a list.", param=f"{place}.output")
    return {
        "type": "function_call_output",
        **_texts(item, ("call_id",), place),
        "output": output,
        "status": "completed",
    }


def _reference(item: JSON, place: str) -> JSON:
    return {"type": "item_reference", **_texts(item, ("id",), place)}


def _reasoning(item: JSON, place: str) -> JSON:
    del place
    summary = item.get("summary")
    return {"type": "reasoning", "summary": summary if isinstance(summary, list) else []}


def _texts(item: JSON, names: tuple[str, ...], place: str) -> JSON:
    for name in names:
        if not isinstance(item.get(name), str):
            raise BadRequest(f"{place}.{name} is missing, or is no text.", param=f"{place}.{name}")
    return {name: item[name] for name in names}


_PREFIX = {"message": "msg", "function_call": "fc", "function_call_output": "fco", "reasoning": "rs"}
_COMPLETE = {
    "message": _message,
    "function_call": _call,
    "function_call_output": _output,
    "item_reference": _reference,
    "reasoning": _reasoning,
}


def check_calls(items: Sequence[JSON]) -> None:
    """Raise BadRequest unless every function call has its output, and every output its call before it."""
    waiting: set[str] = set()
    known: set[str] = set()
    for item in items:
        call = item.get("call_id", "")
        if item["type"] == "function_call":
            waiting.add(call)
            known.add(call)
        elif item["type"] == "function_call_output":
            if call not in known:
                raise BadRequest(
                    f"No tool call found for function call output with call_id {call[:80]}.", param="input"
                )
            waiting.discard(call)
    if waiting:
        raise BadRequest(f"No tool output found for function call {min(waiting)[:80]}.", param="input")


def to_messages(items: Sequence[JSON]) -> list[JSON]:
    """Return the messages of chat that completed items are; calls join the assistant's message before them."""
    messages: list[JSON] = []
    images: list[JSON] = []
    for item in items:
        if images and item["type"] != "function_call_output":
            messages.append({"role": "user", "content": images})
            images = []
        if item["type"] == "message":
            messages.append({"role": _role(item["role"]), "content": _content(item)})
        elif item["type"] == "function_call":
            call = {
                "id": item["call_id"],
                "type": "function",
                "function": {"name": item["name"], "arguments": item["arguments"]},
            }
            if not messages or messages[-1]["role"] != "assistant":
                messages.append({"role": "assistant", "content": None})
            messages[-1].setdefault("tool_calls", []).append(call)
        elif item["type"] == "function_call_output":
            # Answers of tools are texts only; what they show follows the last of them.
            text, shown = _split(item["output"])
            messages.append({"role": "tool", "tool_call_id": item["call_id"], "content": text})
            images = images + shown
    if images:
        messages.append({"role": "user", "content": images})
    return messages


def _role(role: str) -> str:
    # Not every server of the chat API knows the newer word.
    return "system" if role == "developer" else role


def _content(item: JSON) -> str | list[JSON]:
    parts = item["content"]
    if item["role"] == "assistant":
        return "".join(part.get("text") or part.get("refusal") or "" for part in parts)
    if len(parts) == 1 and parts[0]["type"] == "input_text":
        return str(parts[0]["text"])
    return [_chat_part(part) for part in parts]


def _chat_part(part: JSON) -> JSON:
    if part["type"] == "input_image":
        return {"type": "image_url", "image_url": {"url": part["image_url"], "detail": part["detail"]}}
    return {"type": "text", "text": part["text"]}


def _split(output: str | list[JSON]) -> tuple[str, list[JSON]]:
    if isinstance(output, str):
        return output, []
    texts = [part["text"] for part in output if part["type"] == "input_text"]
    return "\n".join(texts), [_chat_part(part) for part in output if part["type"] == "input_image"]


def without_oldest(messages: Sequence[JSON]) -> list[JSON]:
    """Return messages without the oldest quarter of what was said, never without a system message or the last one.

    A tool's answer goes with its call. The list is as long as before when nothing more can go.
    """
    said = [place for place, message in enumerate(messages) if message["role"] != "system"]
    gone = set(said[: min(-(-len(said) // 4), len(said) - 1)]) if said else set()
    for place in said:
        if place not in gone and messages[place]["role"] != "tool":
            break
        if place != said[-1] and messages[place]["role"] == "tool":
            gone.add(place)
    return [message for place, message in enumerate(messages) if place not in gone]
