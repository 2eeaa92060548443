"""The lines of batches: what comes in, checked, and what goes out into the output and error files.

This module knows OpenAI's batch format. It does not know who answers a line, or when.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from feilun.errors import BadRequest, FeilunError
from feilun.records import JSON, derived_id

MOST_LINES = 50_000


class _Given(Struct):
    custom_id: Annotated[str, Meta(min_length=1, max_length=512)]
    method: str
    url: str
    body: JSON


@dataclass(frozen=True, slots=True)
class Line:
    """One request of a batch; ``id`` is the same whenever the file is read again."""

    id: str
    custom_id: str
    body: JSON


_decode = msgspec.json.Decoder(_Given).decode
_loose = msgspec.json.Decoder().decode


def read_lines(data: bytes, batch_id: str, endpoint: str) -> tuple[list[Line], list[JSON]]:
    """Return the requests of a file, and an error line for every line that is none.

    Raises BadRequest, whose code says what it is, for files that are empty, too long or name an id twice.
    """
    good: list[Line] = []
    bad: list[JSON] = []
    seen: dict[str, int] = {}
    lines = [(number, line) for number, line in enumerate(_split(data), 1) if line.strip()]
    if not lines:
        raise refused("empty_file", "The input file holds no requests.")
    if len(lines) > MOST_LINES:
        raise refused("too_many_tasks", f"The input file has {len(lines)} requests, more than {MOST_LINES}.")
    for number, raw in lines:
        identifier = derived_id("batch_req", batch_id, number)
        try:
            given = _decode(raw)
            _check(given, endpoint)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, BadRequest) as error:
            custom_id = _custom_id(raw)
            bad.append(error_line(identifier, custom_id, "invalid_line", f"Line {number}: {error}"))
        else:
            custom_id = given.custom_id
            good.append(Line(identifier, given.custom_id, given.body))
        if custom_id is not None and custom_id in seen:
            text = f"Line {number} has the custom_id of line {seen[custom_id]}: {custom_id[:100]}."
            raise refused("duplicate_custom_id", text)
        if custom_id is not None:
            seen[custom_id] = number
    return good, bad


def _split(data: bytes) -> Iterable[bytes]:
    return data.removeprefix(b"\xef\xbb\xbf").split(b"\n")


def _check(given: _Given, endpoint: str) -> None:
    if given.method != "POST":
        raise BadRequest(f"the method is {given.method[:20]!r}, not POST.")
    if given.url != endpoint:
        raise BadRequest(f"the url {given.url[:100]!r} is not the batch's, {endpoint}.")
    if given.body.get("stream"):
        raise BadRequest("a batch cannot stream.")


def _custom_id(raw: bytes) -> str | None:
    try:
        found: Any = _loose(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    custom_id = found.get("custom_id") if isinstance(found, dict) else None
    return custom_id if isinstance(custom_id, str) else None


def refused(code: str, text: str, hint: str = "") -> BadRequest:
    """Return the error for an input file that cannot be a batch's; ``code`` says what it is."""
    error = BadRequest(text, hint, "input_file_id")
    error.code = code
    return error


def answer_line(line: Line, body: JSON) -> JSON:
    """Return the line of the output file for a request that was answered."""
    response = {"status_code": 200, "request_id": str(body.get("id") or line.id), "body": body}
    return {"id": line.id, "custom_id": line.custom_id, "response": response, "error": None}


def failure_line(line: Line, error: FeilunError) -> JSON:
    """Return the line of the error file for a request that was answered with an error."""
    response = {"status_code": error.status, "request_id": line.id, "body": error.body()}
    return {"id": line.id, "custom_id": line.custom_id, "response": response, "error": None}


def error_line(identifier: str, custom_id: str | None, code: str, message: str) -> JSON:
    """Return the line of the error file for a request that was never sent."""
    error = {"code": code, "message": message}
    return {"id": identifier, "custom_id": custom_id, "response": None, "error": error}


def add_usage(total: JSON, body: Mapping[str, Any]) -> None:
    """Add what an answer cost to a total, whichever API's names it uses."""
    usage = body.get("usage")
    if not isinstance(usage, dict):
        return
    inputs = int(usage.get("input_tokens", usage.get("prompt_tokens", 0)) or 0)
    outputs = int(usage.get("output_tokens", usage.get("completion_tokens", 0)) or 0)
    details = usage.get("input_tokens_details") or usage.get("prompt_tokens_details") or {}
    thoughts = usage.get("output_tokens_details") or usage.get("completion_tokens_details") or {}
    total["input_tokens"] += inputs
    total["input_tokens_details"]["cached_tokens"] += int(details.get("cached_tokens") or 0)
    total["output_tokens"] += outputs
    total["output_tokens_details"]["reasoning_tokens"] += int(thoughts.get("reasoning_tokens") or 0)
    total["total_tokens"] += inputs + outputs


def no_usage() -> JSON:
    """Return a total of nothing."""
    return {
        "input_tokens": 0,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 0,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 0,
    }
