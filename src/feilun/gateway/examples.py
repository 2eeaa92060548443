"""Training files: one JSON object a line, in the form that its method takes.

``chat`` is OpenAI's ``{"messages"}`` with the answer last, ``preference`` OpenAI's ``{"input", "preferred_output",
"non_preferred_output"}``, ``prompt`` is ``{"messages"}`` without an answer, beside whatever a grader compares with,
``judged`` is a chat with ``liked``, ``text`` is ``{"text"}``. This module knows these forms, and how an example becomes
a record; files of other encodings are read, too. It does not know files' permissions, nor how anything is learnt.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from feilun.curation.documents import Unreadable
from feilun.curation.readers.encodings import encoding_of
from feilun.errors import BadRequest
from feilun.records import JSON, Record, Source, content_hash, derived_id

MINIMUM = 10
MOST_NAMED = 5
Form = Literal["chat", "prompt", "preference", "judged", "text"]
LOOKS: dict[Form, str] = {
    "chat": '{"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}',
    "prompt": '{"messages": [{"role": "user", "content": "…"}], "reference_answer": "…"}',
    "preference": (
        '{"input": {"messages": [{"role": "user", "content": "…"}]}, '
        '"preferred_output": [{"role": "assistant", "content": "…"}], '
        '"non_preferred_output": [{"role": "assistant", "content": "… …"}]}'
    ),
    "judged": '{"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}], "liked": true}',
    "text": '{"text": "…"}',
}
_KINDS: dict[Form, Literal["chat", "passage", "preference"]] = {
    "chat": "chat",
    "prompt": "chat",
    "judged": "chat",
    "preference": "preference",
    "text": "passage",
}
_ROLES = ("system", "developer", "user", "assistant")
_TOOLS = {"tools", "functions", "parallel_tool_calls"}
_MARKS: tuple[tuple[bytes, Form], ...] = (
    (b'"preferred_output"', "preference"),
    (b'"liked"', "judged"),
    (b'"messages"', "chat"),
    (b'"text"', "text"),
)


@dataclass(frozen=True, slots=True)
class Example:
    """One line: the messages of a chat, or of a prompt with the better and the worse answer behind it, or a text."""

    line: int
    form: Form
    messages: tuple[JSON, ...] = ()
    text: str = ""
    meta: JSON = field(default_factory=dict)

    def record(self, source: Source) -> Record:
        """Return it as a record of ``source``; the same example has the same id wherever it stands."""
        whole: list[Any] = list(self.messages)
        if self.form not in {"chat", "prompt"} or self.meta:
            whole = [self.form, whole, self.text, self.meta]
        record_id = derived_id("record", source.workspace, source.id, content_hash(whole))
        meta = {**self.meta, "place": f"line {self.line}"}
        return Record(record_id, _KINDS[self.form], (source.id,), self.messages, self.text, meta)


def check(data: bytes, name: str) -> int:
    """Return how many examples there are; raise BadRequest that names the first wrong lines."""
    return len(read(data, name, "file"))


def encoding(data: bytes) -> str:
    """Return the encoding of a training file; raise Unreadable for one that is no text.

    Where most of what is not ASCII is UTF-8, all of it has to be: damage is named, not read as something else.
    """
    if b"\0" not in data[:4096]:
        foreign = [line for line in data.split(b"\n") if not line.isascii()]
        if 2 * sum(_is_utf8(line) for line in foreign) >= len(foreign):
            return "utf-8"
    return encoding_of(data)


def read(data: bytes, name: str, param: str, forms: Collection[Form] = (), method: str = "") -> list[Example]:
    """Return the examples of a file, all of one form; raise BadRequest that names the first wrong lines.

    Only ``forms`` are taken, if any are named: those that ``method`` learns from.
    """
    found: list[Example] = []
    wrong: dict[int, str] = {}
    for number, line in _lines(data, name, param):
        try:
            found.append(_example(number, line))
        except BadRequest as error:
            wrong[number] = error.message
    present = [example.form for example in found]
    # An answer may have been lost: prompts among chats are chats without one.
    first: Form = "chat" if "chat" in present and present[0] == "prompt" else next(iter(present), _looks(data))
    taken = forms or {first}
    for example in found:
        if example.form not in taken:
            wrong[example.line] = _reason(example, taken, method)
    hint = " Or: ".join(f"Each line is {LOOKS[form]}." for form in taken)
    if method and found and not any(example.form in taken for example in found):
        wrong = dict(list(wrong.items())[:1])  # all of them: once is enough
    if wrong and not found and (other := _other_format(data)):
        raise BadRequest(f"{name} cannot be used: {other[0]}.", f"{other[1]} {hint}", param)
    if wrong:
        named = [f"line {number}: {wrong[number]}" for number in sorted(wrong)[:MOST_NAMED]]
        more = f"; and {len(wrong) - len(named)} more" if len(wrong) > len(named) else ""
        raise BadRequest(f"{name} cannot be used: {'; '.join(named)}{more}.", hint, param)
    if not found:
        raise BadRequest(f"{name} holds no example.", hint, param)
    return found


def records(examples: Iterable[Example], source: Source) -> list[Record]:
    """Return examples as records, each once; the same file gives the same ids."""
    found: dict[str, Record] = {}
    for example in examples:
        record = example.record(source)
        found.setdefault(record.id, record)
    return list(found.values())


def _reason(example: Example, taken: Collection[Form], method: str) -> str:
    if example.form == "prompt" and example.messages[-1]["role"] == "assistant":
        return f"{', '.join(sorted(example.meta['item']))[:80]} cannot be learned here"
    if example.form == "prompt" and {"chat", "judged"} & set(taken):
        return "the last message is not the assistant's"
    if method:
        return f"{method} does not learn from lines like {LOOKS[example.form]}"
    return "it has another form than the lines before it"


def _lines(data: bytes, name: str, param: str) -> Iterator[tuple[int, bytes]]:
    """Yield the lines that hold something, with their numbers, as UTF-8 unless they are not even that."""
    try:
        found = encoding(data)
        if found != "utf-8":
            data = data.decode(found).encode()
    except Unreadable as error:
        raise BadRequest(
            f"{name} cannot be used: it holds binary data, not text.",
            "Training takes JSON lines; feilun turn reads documents and tables.",
            param,
        ) from error
    except ValueError as error:
        raise BadRequest(
            f"{name} cannot be used: it seems to be {found.upper()}, but is damaged.", "Save it as UTF-8.", param
        ) from error
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if line.strip():
            yield number, line


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _looks(data: bytes) -> Form:
    """Return the form that a file seems to be meant to have, of which no line can be read."""
    head = data[: 1 << 16]
    return next((form for mark, form in _MARKS if mark in head), "chat")


def _other_format(data: bytes) -> tuple[str, str] | None:
    """Return what a file is that has no line of an example, and what to do; None if nobody can tell."""
    head = data[: 1 << 16].decode(errors="replace").strip()
    if head[:1] in {"[", "{"}:
        if head[0] == "[" or head.split("\n")[0].strip() == "{":
            return "it is one JSON text of many lines, and not one on each", "Write every example on a line of its own."
        return None
    rows = head.split("\n")[:-1] or [head]
    for mark, word in ((",", "CSV"), ("\t", "a table (TSV)"), (";", "CSV"), ("|", "a table")):
        widths = {len(row) for row in csv.reader(rows[:50], delimiter=mark) if row}
        if len(widths) == 1 and max(widths) > 1:
            return (
                f"it looks like {word}; training takes JSON lines",
                "Write every row as a JSON object of its own.",
            )
    return None


def _row(line: bytes) -> Any:
    """Return what a line says; raise BadRequest for what is no JSON, or holds what no text can."""
    try:
        row = json.loads(line.decode(), parse_constant=_refuse)
        json.dumps(row, ensure_ascii=False).encode()
    except UnicodeDecodeError as error:
        raise BadRequest("not UTF-8") from error
    except UnicodeEncodeError as error:
        raise BadRequest("a text that is not Unicode (half a character)") from error
    except (ValueError, RecursionError) as error:
        raise BadRequest("not JSON") from error
    return row


def _example(number: int, line: bytes) -> Example:
    row = _row(line)
    if not isinstance(row, dict):
        raise BadRequest("no list of messages")
    if {"input", "preferred_output", "non_preferred_output"} & row.keys():
        return _preference(number, row)
    if row.keys() == {"text"}:
        if not isinstance(row["text"], str) or not row["text"].strip():
            raise BadRequest("a text that is empty")
        return Example(number, "text", text=row["text"])
    if not isinstance(row.get("messages"), list):
        raise BadRequest("no list of messages")
    if unknown := sorted(row.keys() & _TOOLS):
        raise BadRequest(f"{', '.join(unknown)[:80]} cannot be learned here")
    more = {name: value for name, value in row.items() if name != "messages"}
    messages = _messages(row["messages"])
    if "liked" in more:
        if not isinstance(more["liked"], bool) or len(more) > 1:
            raise BadRequest('"liked" is true or false, and stands beside the messages alone')
        _answered(messages)
        return Example(number, "judged", messages, meta=more)
    if messages and messages[-1]["role"] != "assistant":
        _asked(messages)
        return Example(number, "prompt", messages, meta={"item": more} if more else {})
    _answered(messages)
    if more:  # beside the answer, a grader is told these: no method learns them
        return Example(number, "prompt", messages, meta={"item": more})
    return Example(number, "chat", messages)


def _refuse(word: str) -> Any:
    raise ValueError(word)


def _preference(number: int, row: JSON) -> Example:
    asked = row.get("input")
    if not isinstance(asked, dict) or not isinstance(asked.get("messages"), list):
        raise BadRequest('no "input" with a list of messages')
    if unknown := sorted(row.keys() - {"input", "preferred_output", "non_preferred_output"}):
        raise BadRequest(f"{', '.join(unknown)[:80]} cannot be learned here")
    if used := sorted(name for name in asked.keys() - {"messages"} if asked[name] and name != "parallel_tool_calls"):
        raise BadRequest(f"{', '.join(used)[:80]} cannot be learned here")
    prompt = _messages(asked["messages"])
    _asked(prompt)
    if prompt[-1]["role"] == "assistant":
        raise BadRequest("the input ends with an answer, which belongs into preferred_output")
    sides = [_side(row, name) for name in ("preferred_output", "non_preferred_output")]
    if sides[0]["content"].strip() == sides[1]["content"].strip():
        raise BadRequest("both answers are the same, so neither is preferred")
    return Example(number, "preference", (*prompt, *sides))


def _side(row: JSON, name: str) -> JSON:
    given = row.get(name)
    if not isinstance(given, list) or len(given) != 1:
        raise BadRequest(f"{name} is not a list of one answer")
    message = _message(given[0])
    if message["role"] != "assistant":
        raise BadRequest(f"{name} is not the assistant's but the {message['role']}'s")
    return message


def _messages(given: list[Any]) -> tuple[JSON, ...]:
    return tuple(_message(message) for message in given)


def _answered(messages: tuple[JSON, ...]) -> None:
    if not messages or messages[-1]["role"] != "assistant":
        raise BadRequest("the last message is not the assistant's")
    _asked(messages)


def _asked(messages: tuple[JSON, ...]) -> None:
    if not any(message["role"] == "user" for message in messages):
        raise BadRequest("no message of the user")


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
