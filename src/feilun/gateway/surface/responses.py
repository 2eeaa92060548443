"""Requests of the responses API as requests of chat, and answers of chat as responses.

This module knows fields. It does not know streams, and not where responses are kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from feilun.errors import BadRequest, FeilunError, RateLimited
from feilun.gateway.surface.items import tail, to_messages
from feilun.gateway.surface.requests import ResponsesRequest
from feilun.records import JSON

_NOT_HERE = {
    "background": "Responses in the background",
    "conversation": "Conversation objects",
    "prompt": "Stored prompts",
}


def check(request: ResponsesRequest) -> None:
    """Raise BadRequest for what is not served here, by name."""
    for name, what in _NOT_HERE.items():
        if getattr(request, name):
            hint = "Use previous_response_id." if name == "conversation" else f"Leave {name} out."
            raise BadRequest(f"{what} are not served here.", hint, name)
    for number, tool in enumerate(request.tools or []):
        place = f"tools[{number}]"
        if tool.get("type") != "function":
            kind = str(tool.get("type"))[:60]
            raise BadRequest(f"Tools of the type {kind!r} are not served here.", "Use functions.", f"{place}.type")
        if not isinstance(tool.get("name"), str):
            raise BadRequest(f"{place}.name is missing, or is no text.", param=f"{place}.name")
        if not isinstance(tool.get("parameters") or {}, dict):
            raise BadRequest(f"{place}.parameters is no JSON schema.", param=f"{place}.parameters")


def to_chat(request: ResponsesRequest, items: Sequence[JSON]) -> JSON:
    """Return the request of chat that asks for what follows ``items``; raise BadRequest."""
    messages = to_messages(items)
    if request.instructions:
        messages.insert(0, {"role": "system", "content": request.instructions})
    if not messages:
        raise BadRequest("There is nothing to answer.", "Give an input.", "input")
    body: JSON = {"model": request.model, "messages": messages}
    given = {
        "temperature": request.temperature,
        "top_p": request.top_p,
        "max_completion_tokens": request.max_output_tokens,
        "user": request.user or request.safety_identifier,
        "prompt_cache_key": request.prompt_cache_key,
        "response_format": _format(request),
        "reasoning_effort": (request.reasoning or {}).get("effort"),
        "verbosity": request.text.verbosity if request.text else None,
        "service_tier": request.service_tier,
    }
    body |= {name: value for name, value in given.items() if value is not None}
    if request.store is False:
        body["store"] = False
    if request.top_logprobs or "message.output_text.logprobs" in (request.include or []):
        body |= {"logprobs": True, "top_logprobs": request.top_logprobs or 0}
    return body | _tools(request)


def _format(request: ResponsesRequest) -> JSON | None:
    wanted = request.text.format if request.text else None
    kind = wanted.get("type") if wanted else "text"
    if wanted is None or kind == "text":
        return None
    if kind == "json_object":
        return {"type": "json_object"}
    if kind != "json_schema":
        raise BadRequest("text.format.type: choices are text, json_object, json_schema.", param="text.format.type")
    for name, what in (("name", str), ("schema", dict)):
        if not isinstance(wanted.get(name), what):
            raise BadRequest(f"text.format.{name} is missing, or of the wrong type.", param=f"text.format.{name}")
    kept = {name: wanted[name] for name in ("name", "schema", "strict", "description") if wanted.get(name) is not None}
    return {"type": "json_schema", "json_schema": kept}


def _tools(request: ResponsesRequest) -> JSON:
    tools, choice = request.tools or [], request.tool_choice
    if isinstance(choice, str) and choice not in {"none", "auto", "required"}:
        raise BadRequest("tool_choice: choices are none, auto, required, or an object.", param="tool_choice")
    if isinstance(choice, dict) and choice.get("type") == "allowed_tools":
        allowed = choice.get("tools")
        if not isinstance(allowed, list):
            raise BadRequest("tool_choice.tools is no list.", param="tool_choice.tools")
        names = [tool.get("name") for tool in allowed if isinstance(tool, dict)]
        tools = [tool for tool in tools if tool["name"] in names]
        choice = "required" if choice.get("mode") == "required" else "auto"
    elif isinstance(choice, dict):
        if choice.get("type") != "function" or choice.get("name") not in [tool["name"] for tool in tools]:
            raise BadRequest("tool_choice names no function of tools.", param="tool_choice")
        choice = {"type": "function", "function": {"name": choice["name"]}}
    if not tools:
        if choice == "required":
            raise BadRequest("tool_choice is required, but there are no tools.", param="tool_choice")
        return {}
    kept = ("name", "description", "parameters", "strict")
    body: JSON = {
        "tools": [
            {"type": "function", "function": {name: tool[name] for name in kept if tool.get(name) is not None}}
            for tool in tools
        ]
    }
    if choice is not None:
        body["tool_choice"] = choice
    if request.parallel_tool_calls is not None:
        body["parallel_tool_calls"] = request.parallel_tool_calls
    return body


def begun(request: ResponsesRequest, answer: Mapping[str, Any]) -> JSON:
    """Return the response as it stands when ``answer`` (a completion of chat, or its first chunk) begins."""
    tools = [
        {"type": "function", "name": tool["name"], "description": tool.get("description")}
        | {"parameters": tool.get("parameters") or {}, "strict": tool.get("strict", True) is not False}
        for tool in request.tools or []
    ]
    wanted = (request.text.format if request.text else None) or {"type": "text"}
    reasoning = request.reasoning or {}
    found: JSON = {
        "id": f"resp_{tail(str(answer['id']))}",
        "object": "response",
        "created_at": int(answer.get("created") or 0),
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": request.instructions,
        "max_output_tokens": request.max_output_tokens,
        "max_tool_calls": request.max_tool_calls,
        "metadata": request.metadata or {},
        "model": str(answer.get("model") or request.model),
        "output": [],
        "parallel_tool_calls": request.parallel_tool_calls is not False,
        "previous_response_id": request.previous_response_id,
        "prompt_cache_key": request.prompt_cache_key,
        "reasoning": {"effort": reasoning.get("effort"), "summary": reasoning.get("summary")},
        "safety_identifier": request.safety_identifier,
        "service_tier": answer.get("service_tier") or "default",
        "store": request.store is not False,
        "temperature": 1.0 if request.temperature is None else request.temperature,
        "text": {"format": wanted, "verbosity": (request.text and request.text.verbosity) or "medium"},
        "tool_choice": "auto" if request.tool_choice is None else request.tool_choice,
        "tools": tools,
        "top_logprobs": request.top_logprobs or 0,
        "top_p": 1.0 if request.top_p is None else request.top_p,
        "truncation": request.truncation or "disabled",
        "usage": None,
        "user": request.user,
    }
    if "model_version" in answer:
        found["model_version"] = answer["model_version"]
    return found


def ended(response: JSON, output: list[JSON], finish: str | None, usage: Mapping[str, Any] | None) -> JSON:
    """Return a response with its output, why it ended, and what it cost."""
    reason = {"length": "max_output_tokens", "content_filter": "content_filter"}.get(finish or "")
    return response | {
        "status": "incomplete" if reason else "completed",
        "incomplete_details": {"reason": reason} if reason else None,
        "output": output,
        "usage": _usage(usage) if usage else None,
    }


def failed(response: JSON, error: FeilunError) -> JSON:
    """Return a response that broke off with an error."""
    code = "rate_limit_exceeded" if isinstance(error, RateLimited) else "server_error"
    text = f"{error.message} {error.hint}".strip()
    return response | {"status": "failed", "error": {"code": code, "message": text}}


def from_chat(request: ResponsesRequest, answer: Mapping[str, Any]) -> JSON:
    """Return the whole response that a whole completion of chat is."""
    response, choice = begun(request, answer), answer["choices"][0]
    said, finish = choice["message"], choice.get("finish_reason")
    calls = said.get("tool_calls") or []
    output = []
    if said.get("content") or said.get("refusal") or not calls:
        logprobs = (choice.get("logprobs") or {}).get("content") or []
        parts = [refusal_part(said["refusal"])] if said.get("refusal") else []
        if said.get("content") or not parts:
            parts.insert(0, text_part(said.get("content") or "", logprobs))
        output.append(message_item(response["id"], 0, "completed", parts))
    for call in calls:
        output.append(call_item(response["id"], len(output), "completed", call["id"], call["function"]))
    if finish == "length":
        output[-1]["status"] = "incomplete"
    return ended(response, output, finish, answer.get("usage"))


def text_part(text: str, logprobs: Sequence[JSON] = ()) -> JSON:
    """Return the part of a message that is text."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": tokens(logprobs)}


def refusal_part(text: str) -> JSON:
    """Return the part of a message that is a refusal."""
    return {"type": "refusal", "refusal": text}


def tokens(logprobs: Sequence[JSON]) -> list[JSON]:
    """Return the log-probabilities of tokens as responses have them: with the bytes of every token."""
    return [
        _token(each) | {"top_logprobs": [_token(other) for other in each.get("top_logprobs") or []]}
        for each in logprobs
    ]


def _token(each: JSON) -> JSON:
    raw = each.get("bytes")
    return {
        "token": each["token"],
        "logprob": each["logprob"],
        "bytes": list(str(each["token"]).encode()) if raw is None else raw,
    }


def message_item(response_id: str, index: int, status: str, content: list[JSON]) -> JSON:
    """Return an item of an output that is a message."""
    identifier = f"msg_{tail(response_id)}_{index}"
    return {"id": identifier, "type": "message", "status": status, "role": "assistant", "content": content}


def call_item(response_id: str, index: int, status: str, call_id: str, function: Mapping[str, Any]) -> JSON:
    """Return an item of an output that calls a function."""
    return {
        "id": f"fc_{tail(response_id)}_{index}",
        "type": "function_call",
        "status": status,
        "call_id": call_id,
        "name": function["name"],
        "arguments": function["arguments"],
    }


def _usage(usage: Mapping[str, Any]) -> JSON:
    prompt, completion = int(usage["prompt_tokens"]), int(usage["completion_tokens"])
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    thought = (usage.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": 0},
        "output_tokens": completion,
        "output_tokens_details": {"reasoning_tokens": thought},
        "total_tokens": prompt + completion,
    }
