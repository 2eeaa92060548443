"""What callers may send to chat and completions, and what they get: shapes that are checked while they are parsed.

Engine and gateway check by the same code. Names are OpenAI's; fields that we do not know are left out of account. This
module knows names, types and ranges. It does not know what becomes of a request.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeVar

from msgspec import DecodeError, Meta, Raw, Struct, ValidationError, field
from msgspec.json import Decoder, encode

from feilun.errors import BadRequest
from feilun.records import JSON

MOST_CHOICES = 8
MOST_PROMPTS = 64
Count = Annotated[int, Meta(ge=1, le=1_000_000)]
Temperature = Annotated[float, Meta(ge=0, le=2)]
Share = Annotated[float, Meta(ge=0, le=1)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
Choices = Annotated[int, Meta(ge=1, le=MOST_CHOICES)]
Seed = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Stops = str | Annotated[list[str], Meta(max_length=16)]
Biases = dict[str, Annotated[float, Meta(ge=-100, le=100)]]
ToolName = Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^[a-zA-Z0-9_.-]+$")]
Token = Annotated[int, Meta(ge=0, le=2**31)]
Metadata = Annotated[
    dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]], Meta(max_length=16)
]
_WHOLE = re.compile(rb"(-?[0-9]{1,18})\.0+")
_PLACE = re.compile(r" - at `(?:key in )?\$\.?(.*?)`$")
Shape = TypeVar("Shape")
_fields = Decoder(dict[str, Raw])


class Part(Struct):
    """A part of a message: a text, or something that not every model takes."""

    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: Any = None


class CalledFunction(Struct):
    """The function that a model called; ``arguments`` is JSON in a text."""

    name: str
    arguments: str = "{}"


class ToolCall(Struct):
    """A call that a model made."""

    id: str
    function: CalledFunction
    type: Literal["function"] = "function"


class Message(Struct):
    """A message of a conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[Part] | None = None
    name: str | None = None
    tool_calls: Annotated[list[ToolCall], Meta(max_length=128)] | None = None
    tool_call_id: str | None = None
    refusal: str | None = None


class Function(Struct):
    """A function that a model may call; ``parameters`` is a JSON schema."""

    name: ToolName
    description: str | None = None
    parameters: JSON | None = None
    strict: bool | None = None


class Tool(Struct):
    """A tool; only functions are."""

    function: Function
    type: Literal["function"] = "function"


class ChosenFunction(Struct):
    """The name of a function."""

    name: str


class ChosenTool(Struct):
    """The tool that is to be called."""

    function: ChosenFunction
    type: Literal["function"] = "function"


class JsonSchema(Struct):
    """The schema that an answer has to conform to; it always has to, ``strict`` or not."""

    name: str = "answer"
    schema: JSON | None = None
    description: str | None = None
    strict: bool | None = None


class ResponseFormat(Struct):
    """How an answer has to look."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class StreamOptions(Struct):
    """How a stream is sent."""

    include_usage: bool = False


class ChatRequest(Struct, kw_only=True):
    """``POST /v1/chat/completions``. Without ``temperature`` and ``top_p`` the model's own are taken."""

    model: Annotated[str, Meta(min_length=1, max_length=200)]
    messages: Annotated[list[Message], Meta(min_length=1, max_length=2048)]
    max_tokens: Count | None = None
    max_completion_tokens: Count | None = None
    temperature: Temperature | None = None
    top_p: Share | None = None
    n: Choices | None = None
    seed: Seed | None = None
    stop: Stops | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    logit_bias: Biases | None = None
    tools: Annotated[list[Tool], Meta(max_length=128)] | None = None
    tool_choice: Literal["none", "auto", "required"] | ChosenTool | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    store: bool | None = None
    metadata: Metadata | None = None
    user: str | None = None
    modalities: list[str] | None = None
    functions: Any = None
    function_call: Any = None
    audio: Any = None
    prediction: Any = None
    web_search_options: Any = None


class CompletionRequest(Struct, kw_only=True):
    """``POST /v1/completions``: texts, or token numbers of the model, are continued as they are."""

    model: Annotated[str, Meta(min_length=1, max_length=200)]
    prompt: str | Annotated[list[str | Token | list[Token]], Meta(min_length=1, max_length=100_000)]
    max_tokens: Count | None = None
    temperature: Temperature | None = None
    top_p: Share | None = None
    n: Choices | None = None
    best_of: Choices | None = None
    seed: Seed | None = None
    stop: Stops | None = None
    logprobs: Annotated[int, Meta(ge=0, le=5)] | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    logit_bias: Biases | None = None
    echo: bool | None = None
    suffix: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    store: bool | None = None
    metadata: Metadata | None = None
    user: str | None = None


class CalledTool(Struct):
    """A call that the model made."""

    id: str
    function: CalledFunction
    type: Literal["function"] = "function"


class TopLogprob(Struct):
    """A token that was likely at a place, with its log-probability (nats)."""

    token: str
    logprob: float
    bytes: list[int]


class TokenLogprob(Struct):
    """A token that was chosen."""

    token: str
    logprob: float
    bytes: list[int]
    top_logprobs: list[TopLogprob] = []


class Logprobs(Struct):
    """The tokens of an answer."""

    content: list[TokenLogprob]
    refusal: None = None


class Answer(Struct):
    """What the model said, or called."""

    content: str | None
    role: Literal["assistant"] = "assistant"
    refusal: None = None
    tool_calls: list[CalledTool] | None = None


class Choice(Struct):
    """One of the answers."""

    index: int
    message: Answer
    finish_reason: Literal["stop", "length", "tool_calls"]
    logprobs: Logprobs | None = None
    stop_reason: str | None = None


class PromptDetails(Struct):
    """Of the tokens of a prompt: those that were known already."""

    cached_tokens: int = 0
    audio_tokens: int = 0


class CompletionDetails(Struct):
    """Of the tokens of an answer."""

    reasoning_tokens: int = 0
    audio_tokens: int = 0


class Tokens(Struct):
    """What a call cost, counted by the engine."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails
    completion_tokens_details: CompletionDetails = field(default_factory=CompletionDetails)


class Completion(Struct):
    """The answer to a chat; ``id`` is the trace, ``model_version`` what answered."""

    id: str
    created: int
    model: str
    system_fingerprint: str
    model_version: str
    choices: list[Choice]
    usage: Tokens
    object: Literal["chat.completion"] = "chat.completion"


class TextLogprobs(Struct):
    """The tokens of a continued text, in the old shape."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float]] | None
    text_offset: list[int]


class TextChoice(Struct):
    """One of the texts."""

    index: int
    text: str
    finish_reason: Literal["stop", "length"]
    logprobs: TextLogprobs | None = None
    stop_reason: str | None = None


class TextCompletion(Struct):
    """The answer to a completion."""

    id: str
    created: int
    model: str
    system_fingerprint: str
    model_version: str
    choices: list[TextChoice]
    usage: Tokens
    object: Literal["text_completion"] = "text_completion"


def whole_numbers(body: bytes, error: ValidationError) -> bytes | None:
    """Return a body with 5 for each field that is 5.0, an integer in JSON Schema; None if that is not what is wrong."""
    if "got `float` - at `$." not in str(error):
        return None
    fields = _fields.decode(body)
    found = {name: Raw(number[1]) for name, raw in fields.items() if (number := _WHOLE.fullmatch(raw))}
    return encode({**fields, **found}) if found else None


def decode(decoder: Decoder[Shape], body: bytes) -> Shape:
    """Return a body as its shape; raise BadRequest, whose ``param`` is the path of the field that is wrong."""
    try:
        return decoder.decode(body)
    except ValidationError as error:
        if other := whole_numbers(body, error):
            return decode(decoder, other)
        text = str(error)
        found = _PLACE.search(text)
        place, said = (found[1], text[: found.start()]) if found else ("", text)
        missing = re.search(r"required field `(\w+)`", said)
        if missing:
            place = f"{place}.{missing[1]}".strip(".")
        raise BadRequest(f"{place or 'The body'}: {said}.", param=place or None) from error
    except (DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"The body is not valid JSON: {error}.", "Send a JSON object in UTF-8.") from error


def refuse_chat(given: ChatRequest) -> None:
    """Raise BadRequest for behaviour that we do not have, or that contradicts itself."""
    for name in ("functions", "function_call"):
        if getattr(given, name) not in (None, [], "none"):
            raise BadRequest(f"{name} is the old way and not supported.", "Use tools and tool_choice.", name)
    for name in ("audio", "prediction", "web_search_options"):
        if getattr(given, name) is not None:
            raise BadRequest(f"{name} is not supported here.", "Leave it out.", name)
    if given.modalities not in (None, ["text"]):
        raise BadRequest("modalities other than text are not supported here.", "Leave it out.", "modalities")
    if given.top_logprobs and not given.logprobs:
        raise BadRequest("top_logprobs needs logprobs: true.", param="top_logprobs")
    names = [tool.function.name for tool in given.tools or []]
    if len(set(names)) < len(names):
        raise BadRequest("Two tools have the same name.", param="tools")
    choice = given.tool_choice
    if not names and (choice == "required" or isinstance(choice, ChosenTool)):
        raise BadRequest("tool_choice asks for a tool, but there are no tools.", param="tool_choice")
    if isinstance(choice, ChosenTool) and choice.function.name not in names:
        raise BadRequest(f"There is no tool {choice.function.name[:128]!r}.", param="tool_choice")
    form = given.response_format
    if (
        form is not None
        and form.type == "json_schema"
        and (form.json_schema is None or form.json_schema.schema is None)
    ):
        raise BadRequest("response_format.json_schema.schema is missing.", param="response_format")
    _check_bias(given.logit_bias)


def refuse_completion(given: CompletionRequest) -> None:
    """Raise BadRequest for behaviour that we do not have, or that contradicts itself."""
    if given.suffix:
        raise BadRequest("suffix is not supported here.", "Leave it out.", "suffix")
    if given.echo and given.logprobs is not None:
        raise BadRequest("echo together with logprobs is not supported here.", "Leave one out.", "echo")
    if (given.best_of or 1) > (given.n or 1):
        raise BadRequest("best_of beyond n is not supported here.", "Leave it out.", "best_of")
    prompt = given.prompt
    if isinstance(prompt, list):
        if len({type(each) for each in prompt}) > 1:
            raise BadRequest("prompt mixes texts and token numbers.", param="prompt")
        if not isinstance(prompt[0], int) and len(prompt) > MOST_PROMPTS:
            raise BadRequest(f"prompt holds more than {MOST_PROMPTS} texts.", "Send several requests.", "prompt")
    _check_bias(given.logit_bias)


def _check_bias(biases: Biases | None) -> None:
    if biases and (len(biases) > 1024 or not all(key.isascii() and key.isdigit() for key in biases)):
        raise BadRequest("logit_bias maps at most 1024 token numbers to -100 to 100.", param="logit_bias")
