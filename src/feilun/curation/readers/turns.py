"""Messages, and what else people exchange as conversations -> turns; values -> the text of an answer.

This module knows OpenAI's and Anthropic's messages, ShareGPT's and BELLE's turns and the tree of ChatGPT's exports. It
does not know in which files they stand, nor what they are used for.
"""

from __future__ import annotations

import json
import math
from typing import Any

Turns = tuple[tuple[str, str], ...]
_USER = frozenset({"user", "human", "customer", "member", "client", "caller", "prompter", "用户", "客户", "会员"})
_ASSISTANT = frozenset(
    ["assistant", "gpt", "chatgpt", "agent", "advisor", "support", "bot", "model", "ai", "助手", "客服", "坐席"]
)
_KINDS = {"user": _USER, "assistant": _ASSISTANT, "system": frozenset({"system", "developer", "系统"})}
_ROLES = {name: kind for kind, names in _KINDS.items() for name in names}
_TALK = ("messages", "conversations", "conversation", "turns", "dialogue", "dialog")
_TOOLS = frozenset({"tool", "function", "ipython", "observation", "function_call", "tool_call", "function_response"})


def said_in(content: Any) -> str | None:
    """Return the text of a message's content: a string, or a list of parts; None if it is neither."""
    if isinstance(content, list):
        parts = [part.get("text", part.get("value")) if isinstance(part, dict) else part for part in content]
        return "\n".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else None


def value_text(given: Any) -> str:
    """Return an answer as text: a text, a number, yes or no, several of them line by line, or SQuAD's first answer."""
    answers = isinstance(given, list) and given and all(isinstance(one, dict) for one in given)
    if isinstance(first := given[0] if answers else given, dict):
        said = first.get("text")
        given = said[:1] if isinstance(said, list) else said
    texts = [_one_value(one) for one in (given if isinstance(given, list) else [given])]
    return "\n".join(texts) if all(texts) else ""


def _one_value(given: Any) -> str:
    if isinstance(given, float) and not math.isfinite(given):
        return ""
    return given if isinstance(given, str) else json.dumps(given) if isinstance(given, (bool, int, float)) else ""


def _turn(item: Any) -> Turns | None:
    """Return the (role, text) of one turn, or of a question with its answer; None if it is no turn.

    The role of others is ``tool`` or their name; that of an answer whose weight is 0 is ``context``.
    """
    if not isinstance(item, dict):
        return None
    author = item.get("author")
    given = {**item, "author": author.get("role")} if isinstance(author, dict) else item
    role = next((given[k] for k in ("role", "speaker", "from", "author") if isinstance(given.get(k), str)), None)
    if role is None:
        both = [(_ROLES.get(str(key).casefold(), ""), text) for key, text in item.items() if isinstance(text, str)]
        return tuple(turn for turn in both if turn[0]) if {"user", "assistant"} <= {role for role, _ in both} else None
    text = next((item[k] for k in ("content", "text", "value", "message", "utterance") if k in item), None)
    said = said_in(text.get("parts", text.get("text")) if isinstance(text, dict) else text) if text is not None else ""
    if said is None:
        return None
    name = role.strip().casefold()
    kind = "tool" if name in _TOOLS else _ROLES.get(name, name)
    unlearned = kind == "assistant" and isinstance(item.get("weight"), (int, float)) and not item["weight"]
    return (("context" if unlearned else kind, said),)


def turns_of(items: Any) -> Turns:
    """Return the turns of a list of messages, those of tools left out; nothing if it is no such list.

    One other speaker in a talk without an assistant is the assistant, under whatever name.
    """
    found = [_turn(item) for item in items] if isinstance(items, list) else []
    turns = [turn for each in found if each for turn in each]
    if not turns or not all(found):
        return ()
    names = {role for role, _ in turns} - {"tool"}
    others = names - {"user", "assistant", "system", "context"}
    rename = (
        dict.fromkeys(others, "assistant") if len(others) == 1 and "assistant" not in names and "user" in names else {}
    )
    kept = ((rename.get(role, role), text) for role, text in turns)
    return tuple(turn for turn in kept if turn[0] in {"user", "assistant", "system", "context"})


def _path(value: dict[str, Any]) -> list[Any]:
    """Return the messages of ChatGPT's export that lead to the leaf that is shown, else to the last one."""
    nodes = value["mapping"]
    at = value.get("current_node")
    leaf = next((k for k, n in reversed(nodes.items()) if isinstance(n, dict) and not n.get("children")), None)
    at, path, seen = at if isinstance(at, str) and at in nodes else leaf, [], set[str]()
    while isinstance(at, str) and at not in seen and isinstance(node := nodes.get(at), dict):
        seen.add(at)
        if isinstance(node.get("message"), dict):
            path.append(node["message"])
        at = node.get("parent")
    return path[::-1]


def conversation_of(value: Any) -> tuple[Turns, str]:
    """Return the turns of users and assistants, and what the system said, of a conversation's value."""
    turns: Turns = ()
    if isinstance(value, dict):
        key = next((key for key in _TALK if isinstance(value.get(key), list)), "")
        turns = turns_of(value[key]) if key else ()
        turns = turns or (turns_of(_path(value)) if isinstance(value.get("mapping"), dict) else ())
        system = said_in(value.get("system")) or ""
    else:
        turns, system = turns_of(value), ""
    system = "\n".join([system, *(text for role, text in turns if role == "system")]).strip("\n")
    return tuple(turn for turn in turns if turn[0] != "system"), system
