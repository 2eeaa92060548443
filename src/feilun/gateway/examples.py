"""Training examples in the OpenAI form: one JSON object per line, ``{"messages": [...]}``, the answer last.

This module knows that form, and how an example becomes a record. It does not know files' permissions.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from feilun.errors import BadRequest
from feilun.records import JSON, Record, Source, content_hash, derived_id

MINIMUM = 10
MOST_NAMED = 5
_ROLES = ("system", "developer", "user", "assistant")
_HINT = 'Each line is {"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}.'


def check(lines: Iterable[bytes], name: str) -> int:
    """Return how many examples there are; raise BadRequest that names the first wrong lines."""
    count, wrong = 0, 0
    named: list[str] = []
    for number, line in _filled(lines):
        try:
            _messages(line)
            count += 1
        except BadRequest as error:
            wrong += 1
            if len(named) < MOST_NAMED:
                named.append(f"line {number}: {error.message}")
    if wrong:
        more = f"; and {wrong - len(named)} more" if wrong > len(named) else ""
        raise BadRequest(f"{name} cannot be used: {'; '.join(named)}{more}.", _HINT, "file")
    if not count:
        raise BadRequest(f"{name} holds no example.", _HINT, "file")
    return count


def chat_records(lines: Iterable[bytes], source: Source) -> list[Record]:
    """Return the examples of a file as records; the same file gives the same ids. Raises BadRequest."""
    found: dict[str, Record] = {}
    for number, line in _filled(lines):
        messages = _messages(line)
        record_id = derived_id("record", source.workspace, source.id, content_hash(list(messages)))
        record = Record(record_id, "chat", (source.id,), messages, meta={"place": f"line {number}"})
        found.setdefault(record_id, record)
    return list(found.values())


def _filled(lines: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    for number, line in enumerate(lines, 1):
        text = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
        if text.strip():
            yield number, text


def _messages(line: bytes) -> tuple[JSON, ...]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadRequest("not JSON") from error
    if not isinstance(row, dict) or not isinstance(row.get("messages"), list):
        raise BadRequest("no list of messages")
    if unknown := sorted(row.keys() - {"messages"}):
        raise BadRequest(f"{', '.join(unknown)[:80]} cannot be learned here")
    messages = tuple(_message(message) for message in row["messages"])
    if not messages or messages[-1]["role"] != "assistant":
        raise BadRequest("the last message is not the assistant's")
    if not any(message["role"] == "user" for message in messages):
        raise BadRequest("no message of the user")
    return messages


def _message(message: Any) -> JSON:
    if not isinstance(message, dict):
        raise BadRequest("a message that is not an object")
    role, content = message.get("role"), message.get("content")
    if role not in _ROLES:
        raise BadRequest(f"a message with the role {str(role)[:40]!r}")
    if unknown := sorted(message.keys() - {"role", "content", "name", "weight"}):
        raise BadRequest(f"a message with {', '.join(unknown)[:80]}")
    if message.get("weight", 1) != 1:
        raise BadRequest("a message with a weight other than 1")
    if isinstance(content, list) and all(_is_text(part) for part in content):
        content = "\n".join(part["text"] for part in content)
    if not isinstance(content, str) or not content.strip():
        raise BadRequest("a message without a text")
    return {"role": "system" if role == "developer" else role, "content": content}


def _is_text(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)
