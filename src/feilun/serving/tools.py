"""Tool calls for any model: shown in its prompt, held to a grammar, read from its text while it comes.

It knows how calls look inside a model's text, and OpenAI's shapes of them. It does not know tokens, or how calls are
carried out: the caller does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from feilun.engines.schema import CALL_CLOSE, CALL_OPEN, call_grammar
from feilun.records import JSON, new_id
from feilun.serving.requests import ChatRequest, ChosenTool, Tool

_TASK = """You may call functions. Their signatures, as JSON:
<tools>
{tools}
</tools>
To call one, answer with nothing but its name and arguments as JSON, so:
<tool_call>
{{"name": "the name", "arguments": {{…}}}}
</tool_call>
{several}"""
_ONE, _SEVERAL = "Call one function at a time.", "To call several, write several <tool_call> blocks."
_HEAD = re.compile(r'\s*\{\s*"name"\s*:\s*("(?:[^"\\]|\\.)*")\s*,\s*"arguments"\s*:\s*', re.DOTALL)


def allowed(request: ChatRequest) -> list[Tool]:
    """Return the tools that may be called."""
    choice = request.tool_choice
    if choice == "none":
        return []
    return [
        tool
        for tool in request.tools or []
        if not isinstance(choice, ChosenTool) or tool.function.name == choice.function.name
    ]


def grammar(request: ChatRequest, form: str = "") -> str:
    """Return the grammar that holds an answer to calls, or leaves it the choice; without tools it is ``form``.

    ``form`` is the grammar of answers that are no calls; empty where they are plain text.
    """
    tools = allowed(request)
    if not tools:
        return form
    return call_grammar(
        [(tool.function.name, tool.function.parameters) for tool in tools],
        free=request.tool_choice in (None, "auto"),
        form=form,
        parallel=request.parallel_tool_calls is not False and not isinstance(request.tool_choice, ChosenTool),
    )


def takes_tools(template: str) -> bool:
    """Say whether a chat template shows tools, and calls in the form that our grammar has."""
    return "tools" in template and CALL_OPEN in template


def described(tool: Tool) -> JSON:
    """Return a tool as templates take it."""
    found = {"name": tool.function.name, "description": tool.function.description or ""}
    parameters = tool.function.parameters or {"type": "object", "properties": {}}
    return {"type": "function", "function": {**found, "parameters": parameters}}


def with_task(messages: list[JSON], tools: Sequence[Tool], *, parallel: bool) -> list[JSON]:
    """Return messages whose system message shows the tools and how they are called."""
    lines = "\n".join(json.dumps(described(tool), ensure_ascii=False) for tool in tools)
    task = _TASK.format(tools=lines, several=_SEVERAL if parallel else _ONE)
    if messages and messages[0]["role"] == "system":
        return [{**messages[0], "content": f"{messages[0]['content']}\n\n{task}"}, *messages[1:]]
    return [{"role": "system", "content": task}, *messages]


def as_text(message: JSON) -> JSON:
    """Return a message with its calls, or the answer of a tool, as text: for templates that know nothing of tools."""
    if message["role"] == "tool":
        return {"role": "user", "content": f"<tool_response>\n{message['content']}\n</tool_response>"}
    calls = message.get("tool_calls")
    if not calls:
        return message
    texts = [message["content"]] if message["content"] else []
    texts += [f"{CALL_OPEN}\n{json.dumps(call['function'], ensure_ascii=False)}\n{CALL_CLOSE}" for call in calls]
    return {"role": "assistant", "content": "\n".join(texts)}


@dataclass(slots=True)
class Piece:
    """A piece of an answer: plain text, the beginning of a call (``name``), or more of its arguments."""

    text: str = ""
    call: int = -1
    name: str = ""
    id: str = ""
    arguments: str = ""


class Reader:
    """Reads calls from an answer as it comes. What is no call after all is given back as text.

    ``first``: calls come at the beginning, or not at all, as beside answers that have to look in some way.
    """

    def __init__(self, *, first: bool = False) -> None:
        self.calls = 0
        self._first = first
        self._held = ""  # not yet decided what it is
        self._state = self._outside
        self._depth = 0
        self._quoted = self._escaped = False

    def push(self, text: str) -> list[Piece]:
        """Add text; return what is now certain."""
        self._held += text
        found: list[Piece] = []
        while self._state(found):
            pass
        return found

    def close(self, *, cut: bool = False) -> list[Piece]:
        """Return what was held back at the end of the answer. What was ``cut`` while it opened a call is no text."""
        found: list[Piece] = []
        if self._state == self._outside and not cut:
            self._say(self._held, found)
        self._held = ""
        return found

    def _outside(self, found: list[Piece]) -> bool:
        if self._first and not CALL_OPEN.startswith(self._held[: len(CALL_OPEN)]) and not self.calls:
            self._state = self._plain
            return True
        at = self._held.find(CALL_OPEN)
        if at < 0:
            keep = next((n for n in range(len(CALL_OPEN) - 1, 0, -1) if self._held.endswith(CALL_OPEN[:n])), 0)
            plain, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
            self._say(plain, found)
            return False
        self._say(self._held[:at], found)
        self._held = self._held[at + len(CALL_OPEN) :]
        self._state = self._head
        return True

    def _plain(self, found: list[Piece]) -> bool:
        self._say(self._held, found)
        self._held = ""
        return False

    def _say(self, plain: str, found: list[Piece]) -> None:
        if plain and not (self.calls and plain.isspace()):  # blanks between calls are no text
            found.append(Piece(text=plain))

    def _head(self, found: list[Piece]) -> bool:
        head = _HEAD.match(self._held)
        if not head or head.end() == len(self._held):
            return False
        found.append(Piece(call=self.calls, name=json.loads(head[1]), id=f"call_{new_id('')[1:]}"))
        self.calls += 1
        self._held = self._held[head.end() :]
        self._state, self._depth, self._quoted, self._escaped = self._arguments, 0, False, False
        return True

    def _arguments(self, found: list[Piece]) -> bool:
        for place, mark in enumerate(self._held):
            if self._quoted:
                self._escaped, closes = mark == "\\" and not self._escaped, mark == '"' and not self._escaped
                self._quoted = not closes
            elif mark == '"':
                self._quoted = True
            elif mark in "{[":
                self._depth += 1
            elif mark in "}]":
                self._depth -= 1
                if self._depth == 0:
                    found.append(Piece(call=self.calls - 1, arguments=self._held[: place + 1]))
                    self._held, self._state = self._held[place + 1 :], self._tail
                    return True
        if self._held:
            found.append(Piece(call=self.calls - 1, arguments=self._held))
            self._held = ""
        return False

    def _tail(self, found: list[Piece]) -> bool:
        at = self._held.find(CALL_CLOSE)
        if at < 0:
            return False
        self._held, self._state = self._held[at + len(CALL_CLOSE) :], self._outside
        return bool(self._held) or bool(found)


def delta(piece: Piece) -> JSON:
    """Return a piece of a call as OpenAI streams it."""
    if piece.name:
        return {
            "index": piece.call,
            "id": piece.id,
            "type": "function",
            "function": {"name": piece.name, "arguments": ""},
        }
    return {"index": piece.call, "function": {"arguments": piece.arguments}}


def arguments(text: str) -> Any:
    """Return the arguments of a call as templates take them: an object, or the text that is none."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return text
