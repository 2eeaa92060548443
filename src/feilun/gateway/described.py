"""Endpoints that are answered without a web framework: their bodies checked, and described in the OpenAPI document.

This module knows msgspec's types and the OpenAPI format. It does not know any endpoint.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from feilun.errors import BadRequest
from feilun.records import JSON
from feilun.serving.requests import whole_numbers

Shape = TypeVar("Shape")
REF = "#/components/schemas/{name}"
# As in OpenAI's own description, the schema of a stream is that of each of its events.
_EVENT = {
    "type": "object",
    "description": "a server-sent event; its data is JSON, or [DONE]",
    "properties": {"data": {"type": "string"}, "event": {"type": "string"}, "id": {"type": "string"}},
    "required": ["data"],
}
_PLACE = re.compile(r" - at `(?:key in )?\$(.*?)`$")


@dataclass(frozen=True, slots=True)
class Described:
    """One operation: what it takes and gives. ``streams`` says that it may answer with server-sent events.

    ``errors`` is the shape of its errors where that is not OpenAI's.
    """

    method: str
    path: str
    summary: str
    request: Any
    response: Any
    streams: bool = False
    tag: str = "models"
    errors: Any = None


class _Decoders(dict[Any, msgspec.json.Decoder[Any]]):
    """Decoders by shape, made at their first use."""

    def __missing__(self, shape: Any) -> msgspec.json.Decoder[Any]:
        made = self[shape] = msgspec.json.Decoder(shape)
        return made


_DECODERS = _Decoders()


def decode(body: bytes, shape: type[Shape]) -> Shape:
    """Return a body as ``shape``; raise BadRequest, whose ``param`` names the field that is wrong."""
    try:
        found: Shape = _DECODERS[shape].decode(body)
    except msgspec.ValidationError as error:
        if other := whole_numbers(body, error):
            return decode(other, shape)
        raise wrong(error) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"The body is not valid JSON: {error}.", "Send a JSON object in UTF-8.") from error
    return found


def parse(body: bytes) -> JSON:
    """Return a body as a JSON object; raise BadRequest."""
    return decode(body, dict[str, Any])


def wrong(error: msgspec.ValidationError) -> BadRequest:
    """Return what says which field is wrong."""
    text = str(error)
    found = _PLACE.search(text)
    place = re.sub(r"\[(\d*)\]|\[\.\.\.\]", lambda each: f".{each[1] or '*'}", found[1]).strip(".") if found else ""
    said = text[: found.start()] if found else text
    return BadRequest(f"{place or 'The body'}: {said}.", param=place or None)


def document(found: JSON, operations: Sequence[Described], errors: JSON) -> None:
    """Add operations, and the schemas that they use, to an OpenAPI document."""
    shapes = [shape for each in operations for shape in (each.request, each.response, each.errors) if shape is not None]
    schemas, components = msgspec.json.schema_components(shapes, ref_template=REF)
    by_shape = dict(zip(map(id, shapes), schemas, strict=True))
    found["components"]["schemas"] |= components
    for each in operations:
        answer: JSON = {"application/json": {"schema": by_shape.get(id(each.response), {"type": "object"})}}
        if each.streams:
            answer["text/event-stream"] = {"schema": _EVENT}
        operation: JSON = {
            "tags": [each.tag],
            "summary": each.summary,
            "operationId": re.sub(r"\W+", "_", f"{each.method}_{each.path}").strip("_").lower(),
            "responses": {"200": {"description": "the answer", "content": answer}, **errors},
            "security": [{"HTTPBearer": []}],
        }
        if each.errors is not None:
            operation["responses"] |= _in_shape(errors, by_shape[id(each.errors)])
        if each.request is not None:
            operation["requestBody"] = {
                "required": True,
                "content": {"application/json": {"schema": by_shape[id(each.request)]}},
            }
        found["paths"].setdefault(each.path, {})[each.method.lower()] = operation


def _in_shape(errors: JSON, schema: JSON) -> JSON:
    """Return answers with errors in another shape than OpenAI's; those of the server itself stay in that one."""
    both = {"anyOf": [schema, next(iter(errors.values()))["content"]["application/json"]["schema"]]}
    found = {status: {**answer, "content": {"application/json": {"schema": both}}} for status, answer in errors.items()}
    return {**found, "529": {"description": "overloaded", "content": {"application/json": {"schema": schema}}}}
