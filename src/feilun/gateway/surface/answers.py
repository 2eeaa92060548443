"""What the translated APIs answer, as shapes for the OpenAPI document. Does not know how answers are made."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from feilun.records import JSON


class InputDetails(Struct):
    """Which of the input's tokens were known already."""

    cached_tokens: int
    cache_write_tokens: int


class OutputDetails(Struct):
    """Which of the output's tokens were thoughts."""

    reasoning_tokens: int


class ResponseUsage(Struct):
    """What a response cost."""

    input_tokens: int
    input_tokens_details: InputDetails
    output_tokens: int
    output_tokens_details: OutputDetails
    total_tokens: int


class ResponseAnswer(Struct):
    """A response; ``output`` holds messages and calls of functions."""

    id: str
    object: Literal["response"]
    created_at: int
    status: Literal["completed", "incomplete", "failed", "in_progress"]
    model: str
    output: list[JSON]
    usage: ResponseUsage | None
    error: JSON | None
    incomplete_details: JSON | None
    instructions: str | None
    metadata: dict[str, str]
    parallel_tool_calls: bool
    previous_response_id: str | None
    store: bool
    temperature: float
    text: JSON
    tool_choice: str | JSON
    tools: list[JSON]
    top_p: float
    truncation: str


class InputTokens(Struct):
    """How many tokens an input is."""

    input_tokens: int
    object: Literal["response.input_tokens"] = "response.input_tokens"


class MessageUsage(Struct):
    """What a message cost; all three kinds of input tokens add up."""

    input_tokens: int
    cache_creation_input_tokens: int
    cache_read_input_tokens: int
    output_tokens: int


class MessageAnswer(Struct):
    """A message, made of blocks."""

    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    model: str
    content: list[JSON]
    stop_reason: str | None
    stop_sequence: str | None
    usage: MessageUsage


class MessageTokens(Struct):
    """How many tokens a conversation is."""

    input_tokens: int


class EmbeddingUsage(Struct):
    """What embedding cost."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingItem(Struct):
    """One vector: numbers, or base64 of 32-bit floats."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingsAnswer(Struct):
    """Vectors in the order of the texts."""

    object: Literal["list"]
    data: list[EmbeddingItem]
    model: str
    usage: EmbeddingUsage


class Ranked(Struct, omit_defaults=True):
    """A document's place: its index among those given, and how near it is to the query (0–1)."""

    index: int
    relevance_score: float
    document: JSON | None = None


class RerankAnswer(Struct):
    """Documents, nearest first."""

    id: str
    model: str
    results: list[Ranked]
    usage: EmbeddingUsage
    object: Literal["list"] = "list"


class ModerationResult(Struct):
    """What the rules say of one input."""

    flagged: bool
    categories: dict[str, bool]
    category_scores: dict[str, float]
    category_applied_input_types: dict[str, list[str]]


class ModerationAnswer(Struct):
    """One result for every input."""

    id: str
    model: str
    results: list[ModerationResult]


class MessageErrorDetail(Struct):
    """What went wrong, in the words of the messages API."""

    type: str
    message: str


class MessageError(Struct):
    """The body of every error of the messages API."""

    error: MessageErrorDetail
    type: Literal["error"] = "error"
