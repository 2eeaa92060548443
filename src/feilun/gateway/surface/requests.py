"""What callers may send to the APIs that are translated, as shapes that are checked while they are parsed.

Fields of the real APIs without effect here are accepted. This module knows names, types and ranges; it does not know
what becomes of a request.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from feilun.records import JSON

Metadata = Annotated[
    dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]], Meta(max_length=16)
]
Count = Annotated[int, Meta(ge=1, le=1_000_000)]
Temperature = Annotated[float, Meta(ge=0, le=2)]
Share = Annotated[float, Meta(gt=0, le=1)]
Text = Annotated[str, Meta(min_length=1)]
Name = Annotated[str, Meta(min_length=1, max_length=200)]


class TextOptions(Struct, omit_defaults=True):
    """How the text of a response has to look."""

    format: JSON | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class ResponsesRequest(Struct, omit_defaults=True):
    """``POST /v1/responses``."""

    model: Name
    input: str | list[JSON] = ""
    instructions: str | None = None
    previous_response_id: str | None = None
    store: bool | None = None
    stream: bool | None = None
    metadata: Metadata | None = None
    tools: Annotated[list[JSON], Meta(max_length=128)] | None = None
    tool_choice: str | JSON | None = None
    parallel_tool_calls: bool | None = None
    text: TextOptions | None = None
    max_output_tokens: Count | None = None
    temperature: Temperature | None = None
    top_p: Share | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    truncation: Literal["auto", "disabled"] | None = None
    include: list[str] | None = None
    reasoning: JSON | None = None
    background: bool | None = None
    conversation: str | JSON | None = None
    prompt: JSON | None = None
    max_tool_calls: int | None = None
    service_tier: str | None = None
    stream_options: JSON | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    user: str | None = None


class MessagesTool(Struct, omit_defaults=True):
    """A tool that a model may ask for; only ones that the caller runs are served."""

    name: Annotated[str, Meta(min_length=1, max_length=128)]
    input_schema: JSON | UnsetType = UNSET
    description: str | None = None
    type: str | None = None
    strict: bool | None = None
    cache_control: JSON | None = None


class MessagesChoice(Struct, omit_defaults=True):
    """How tools are to be used."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool = False


class MessagesTurn(Struct, omit_defaults=True):
    """One message of a conversation: a text, or blocks."""

    role: Literal["user", "assistant", "system"]
    content: str | list[JSON]


class MessagesMetadata(Struct, omit_defaults=True):
    """Whose call it is."""

    user_id: str | None = None


class CountRequest(Struct, omit_defaults=True, kw_only=True):
    """``POST /v1/messages/count_tokens``."""

    model: Name
    messages: Annotated[list[MessagesTurn], Meta(min_length=1, max_length=100_000)]
    system: str | list[JSON] | None = None
    cache_control: JSON | None = None
    tools: list[MessagesTool] | None = None
    tool_choice: MessagesChoice | None = None
    thinking: JSON | None = None
    output_config: JSON | None = None


class MessagesRequest(CountRequest, omit_defaults=True, kw_only=True):
    """``POST /v1/messages``."""

    max_tokens: Count
    stream: bool | None = None
    stop_sequences: Annotated[list[Text], Meta(max_length=16)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_p: Share | None = None
    top_k: Annotated[int, Meta(ge=0)] | None = None
    metadata: MessagesMetadata | None = None
    service_tier: str | None = None


class EmbeddingsRequest(Struct, omit_defaults=True):
    """``POST /v1/embeddings``; without a model, the one of the settings."""

    input: str | list[Any]
    model: str | None = None
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Meta(ge=1, le=65_536)] | None = None
    user: str | None = None


class RerankRequest(Struct, omit_defaults=True):
    """``POST /v1/rerank``; without a model, the one of the settings."""

    query: Text
    documents: Annotated[list[str | JSON], Meta(min_length=1, max_length=2048)]
    model: str | None = None
    top_n: Count | None = None
    return_documents: bool | None = None
    max_chunks_per_doc: int | None = None


class ModerationRequest(Struct, omit_defaults=True):
    """``POST /v1/moderations``."""

    input: str | list[str | JSON]
    model: str | None = None
