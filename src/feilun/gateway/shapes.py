"""Shapes that several endpoints share: pages, errors, and the strictness of what comes in. Knows no endpoint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, Literal, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from feilun.errors import BadRequest, NotFound

Item = TypeVar("Item")


class Given(BaseModel):
    """A body that we take in; fields that we do not know are left out of account, as OpenAI-compatible servers do."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)


class Strict(BaseModel):
    """A body of our own ``/api``: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class ErrorDetail(BaseModel):
    """What went wrong: for people, and for programs."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorBody(BaseModel):
    """The body of every error."""

    error: ErrorDetail


class Page(BaseModel, Generic[Item]):
    """A page of a list, in the OpenAI shape."""

    object: Literal["list"] = "list"
    data: list[Item]
    first_id: str | None = None
    last_id: str | None = None
    has_more: bool = False


class Deleted(BaseModel):
    """What was deleted."""

    id: str
    object: str
    deleted: bool = True


class HasId(Protocol):
    """Something with an id."""

    @property
    def id(self) -> str:
        """Return the id."""


Noun = TypeVar("Noun", bound=HasId)


def cut(found: list[Noun], after: str | None, limit: int) -> tuple[list[Noun], bool]:
    """Return the items behind the id ``after``, at most ``limit``, and whether there are more; raise NotFound."""
    if after:
        places = [place for place, item in enumerate(found) if item.id == after]
        if not places:
            raise NotFound(
                f"There is no {after[:100]!r} in this list.", "after is the id of the last item seen.", "after"
            )
        found = found[places[0] + 1 :]
    return found[:limit], len(found) > limit


def page(shown: list[Any], more: bool) -> dict[str, Any]:
    """Return the fields of a :class:`Page`; the items have an ``id``."""
    first, last = (shown[0].id, shown[-1].id) if shown else (None, None)
    return {"data": shown, "first_id": first, "last_id": last, "has_more": more}


Metadata = dict[str, Any] | None
WHOLE = Field(default=None, ge=-(2**63), le=2**63 - 1)
_NEITHER = "neither"


class Worded:
    """Annotates a union of words and a number: what is neither gets one error, which names the words and the range."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return the schema of the union, with that error."""
        inner: Any = handler(source)
        said = " or ".join(_words(choice) for choice in inner["choices"])
        return core_schema.custom_error_schema(inner, _NEITHER, custom_error_message=f"must be {said}")


def _words(schema: Any) -> str:
    """Return what a schema of words, or of a number with or without bounds, permits."""
    if schema["type"] == "literal":
        return ", ".join(repr(word) for word in schema["expected"])
    word = "a whole number" if schema["type"] == "int" else "a number"
    low, high = schema.get("ge"), schema.get("le")
    if low is not None and high is not None:
        return f"{word} from {low:g} to {high:g}"
    bounds = (("above", "gt"), ("of at least", "ge"), ("below", "lt"), ("at most", "le"))
    named = [f"{how} {schema[name]:g}" for how, name in bounds if schema.get(name) is not None]
    return " ".join([word, " and ".join(named)]).strip()


def wrong_field(errors: Sequence[Any], skip: int = 0) -> BadRequest:
    """Return the first error of pydantic's as one of ours, which names the field; ``skip`` parts of places are ours."""
    first = errors[0]
    place = [str(part) for part in first["loc"][skip:]]
    name = ".".join(place)
    if first["type"] == _NEITHER:
        return BadRequest(f"{place[-1]} {first['msg']}, not {repr(first['input'])[:60]}.", param=name)
    more = f" ({len(errors) - 1} more)" if len(errors) > 1 else ""
    return BadRequest(f"{name or 'The body'}: {first['msg']}{more}.", param=name or None)
