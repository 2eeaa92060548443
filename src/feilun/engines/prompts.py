"""Messages to token ids and back: one model's tokenizer and chat template, and the text of an answer as it grows.

The trainer and the engine both go through here, each with the template file of the version in its hands. This module
knows text and ids. It does not know weights.
"""

from __future__ import annotations

import copy
import datetime as dt
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from jinja2 import Template, TemplateError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer

from feilun.engines.schema import CALL_OPEN, answer_schema, functions
from feilun.engines.seam import Request
from feilun.errors import BadModel, BadRequest

_UNFINISHED = "\ufffd"  # what a decoder shows for a character of which some bytes are still to come


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)


def _now(form: str) -> str:
    return dt.datetime.now(tz=dt.UTC).strftime(form)


def read_template(folder: Path) -> str:
    """Return the chat template of a model folder (``chat_template.jinja`` or inside ``tokenizer_config.json``)."""
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    try:
        config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadModel(f"{folder} has no readable tokenizer_config.json.", "Name a complete model folder.") from error
    template = config.get("chat_template") if isinstance(config, dict) else None
    if isinstance(template, list):  # several, by name
        template = {one.get("name"): one.get("template") for one in template if isinstance(one, dict)}.get("default")
    if not isinstance(template, str):
        raise BadModel(f"{folder} has no chat template.", "Use an instruct (chat) model.")
    return template


def _compiled(template: str, folder: Path) -> Template:
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    environment.globals.update(raise_exception=_refuse, strftime_now=_now)
    environment.filters["tojson"] = _to_json
    try:
        return environment.from_string(template)
    except TemplateError as error:
        raise BadModel(f"The chat template of {folder} is damaged: {error}") from error


class Prompter:
    """Render messages with a chat template, encode and decode. ``template`` overrides the folder's own."""

    def __init__(self, folder: Path, template: str | None = None) -> None:
        """Read tokenizer, template and end tokens from a Hugging Face folder; raise BadModel where one is missing."""
        file = folder / "tokenizer.json"
        if not file.is_file():
            raise BadModel(f"{folder} has no tokenizer.json.", "Name a complete Hugging Face folder or a GGUF file.")
        try:
            self.tokenizer = Tokenizer.from_str(file.read_text(encoding="utf-8"))
        except Exception as error:  # the library raises bare Exception for every damaged file
            raise BadModel(f"{file} is damaged: {error}", "Fetch the model again.") from error
        self._folder = folder
        self.template = read_template(folder) if template is None else template
        self.compiled = _compiled(self.template, folder)
        self._special = _special_tokens(folder)
        self._pieces: dict[int, bytes] = {}
        self.end_ids = self._end_ids(folder)

    def dressed(self, template: str | None) -> Prompter:
        """Return one with the same tokenizer and another ``template``; None leaves this one's."""
        other = copy.copy(self)
        if template is not None:
            other.template, other.compiled = template, _compiled(template, self._folder)
        return other

    def _end_ids(self, folder: Path) -> frozenset[int]:
        ends: set[int] = set()
        for name in ("generation_config.json", "config.json"):
            file = folder / name
            if file.is_file():
                value = _read(file).get("eos_token_id")
                ends.update(value if isinstance(value, list) else [] if value is None else [value])
        eos = self._special.get("eos_token", "")
        found = self.tokenizer.token_to_id(eos) if eos else None
        return frozenset(ends | ({found} if found is not None else set()))

    def render(
        self, messages: Sequence[dict[str, Any]], *, tools: Sequence[dict[str, Any]] = (), answer: bool = True
    ) -> str:
        """Return the prompt text; with ``answer`` it ends where the assistant's answer begins.

        ``tools`` are shown by templates that know how.
        """
        given = list(tools) or None
        try:
            return self.compiled.render(
                messages=list(messages), add_generation_prompt=answer, tools=given, documents=None, **self._special
            )
        except (TemplateError, TypeError, KeyError, AttributeError) as error:
            raise BadRequest(
                f"The model's chat template cannot take these messages: {error}", param="messages"
            ) from error

    def encode(self, text: str) -> list[int]:
        """Return token ids; special tokens written in the rendered text are recognised, none are added."""
        try:
            return list(self.tokenizer.encode(text, add_special_tokens=False).ids)
        except (TypeError, UnicodeError) as error:
            raise BadRequest("The messages hold half a character (a lone surrogate).", param="messages") from error

    def encode_marked(self, text: str) -> list[int]:
        """Return token ids of a bare text, with the marks that the tokenizer itself puts around texts."""
        try:
            return list(self.tokenizer.encode(text).ids)
        except (TypeError, UnicodeError) as error:
            raise BadRequest("The text holds half a character (a lone surrogate).") from error

    @property
    def first(self) -> int:
        """The token at which texts begin, or, for want of it, the one at which they end."""
        names = (self._special.get(name, "") for name in ("bos_token", "eos_token"))
        found = (self.tokenizer.token_to_id(name) for name in names if name)
        return next((token for token in found if token is not None), min(self.end_ids, default=0))

    def prompt(self, request: Request) -> tuple[str, list[int]]:
        """Return what a request asks to be gone on from, as text and as token ids; raise BadRequest."""
        if request.tokens:
            return request.prompt, list(request.tokens)
        text = request.prompt or self.render(request.messages, tools=request.tools)
        return text, self.encode(text)

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of token ids without special tokens."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))

    def piece(self, token: int) -> str:
        """Return the text of one token alone, special ones included; half a character shows as U+FFFD."""
        return self.raw(token).decode(errors="replace")

    def raw(self, token: int) -> bytes:
        """Return the bytes of one token alone, special ones included: half a character has its own."""
        found = self._pieces.get(token)
        if found is None:  # some decoders drop the space before a text's first token, hence the second of two
            once, twice = (self.tokenizer.decode([token] * times, skip_special_tokens=False) for times in (1, 2))
            broken = _bytes(self.tokenizer.id_to_token(token) or "") if _UNFINISHED in once + twice else b""
            found = self._pieces[token] = broken or str(twice[len(once) :]).encode()
        return found


def _byte_marks() -> dict[str, int]:
    """Return the characters by which byte-level tokenizers write bytes (GPT-2's table)."""
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(0x100) if byte not in shown]
    return {chr(byte): byte for byte in shown} | {chr(0x100 + place): byte for place, byte in enumerate(hidden)}


_BYTE_MARKS = _byte_marks()
_BYTE_TOKEN = re.compile("<0x([0-9A-Fa-f]{2})>")  # as tokenizers write a byte that fall back on bytes


def _bytes(written: str) -> bytes:
    """Return the bytes that a token stands for which is no whole text; nothing if they cannot be told."""
    single = _BYTE_TOKEN.fullmatch(written)
    if single:
        return bytes.fromhex(single[1])
    return bytes(_BYTE_MARKS[mark] for mark in written) if _BYTE_MARKS.keys() >= set(written) else b""


def _to_json(value: Any, indent: int | None = None, **_: Any) -> str:
    """Chat templates expect plain JSON; Jinja's own filter escapes for HTML."""
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadModel(f"{file} is damaged: {error}", "Fetch the model again.") from error
    return found if isinstance(found, dict) else {}


def _special_tokens(folder: Path) -> dict[str, str]:
    file = folder / "tokenizer_config.json"
    config = _read(file) if file.is_file() else {}
    found: dict[str, str] = {}
    for name in ("bos_token", "eos_token", "pad_token", "unk_token"):
        value = config.get(name)
        text = value.get("content") if isinstance(value, dict) else value
        if isinstance(text, str):
            found[name] = text
    return found


class TextStream:
    """The text of one answer, given out piece by piece."""

    def __init__(self, prompter: Prompter, stop: tuple[str, ...], grammar: str = "") -> None:
        """Decode with ``prompter``; end at one of the ``stop`` texts, which ``grammar`` may have calls beside."""
        self.prompter = prompter
        self.stops = Stops(stop, grammar)
        self.ids: list[int] = []
        self.given = 0
        self.ended = False

    def push(self, token: int) -> tuple[str, bool]:
        """Add a token; return the text that is now certain, and whether a stop text was met."""
        self.ids.append(token)
        text = self.prompter.decode(self.ids)
        piece = text[self.given : self.stops.certain(text.rstrip(_UNFINISHED), self.given)]
        self.given += len(piece)
        self.ended = bool(self.stops.met)
        return piece, self.ended

    def close(self) -> str:
        """Return what was held back; nothing after a stop text, which may only now turn out to be one."""
        if self.ended:
            return ""
        self.ended = True
        text = self.prompter.decode(self.ids)
        return text[self.given : self.stops.certain(text, self.given, over=True)]


class Stops:
    """The stop texts of one answer, and which of them it ``met``. Calls of tools are no text: nothing in them stops."""

    def __init__(self, texts: tuple[str, ...], grammar: str = "") -> None:
        """Look for ``texts``; whether and where calls may open is what ``grammar`` lets."""
        self.texts = tuple(text for text in texts if text)
        self.met = ""
        self._calls = bool(self.texts and grammar and functions(grammar))
        self._anywhere = self._calls and answer_schema(grammar) is None

    def certain(self, text: str, given: int, *, over: bool = False) -> int:
        """Return up to where an answer of which ``given`` characters went out may go on now.

        ``text`` is the whole answer so far; no more comes when it is ``over``. What might begin a stop text, or a call,
        waits.
        """
        opened, plain = self._plain(text, over=over)
        places = {stop: text.find(stop, given, plain) for stop in self.texts}
        found = [stop for stop in self.texts if places[stop] >= 0]
        if found:
            self.met = min(found, key=lambda stop: places[stop])
            return places[self.met]
        if opened or over:
            return len(text)
        held = max((_overlap(text[given:], stop) for stop in self.texts), default=0)
        return max(given, min(plain, len(text) - held))

    def _plain(self, text: str, *, over: bool) -> tuple[bool, int]:
        """Return whether a call has opened, and up to where the answer is text for certain."""
        if not self._calls:
            return False, len(text)
        if not self._anywhere:
            opened = text.startswith(CALL_OPEN)
            return opened, 0 if opened or (CALL_OPEN.startswith(text) and not over) else len(text)
        place = text.find(CALL_OPEN)
        return place >= 0, place if place >= 0 else len(text) - (0 if over else _overlap(text, CALL_OPEN))


def _overlap(text: str, stop: str) -> int:
    """Return how many characters at the end of ``text`` could begin ``stop``."""
    for size in range(min(len(stop) - 1, len(text)), 0, -1):
        if text.endswith(stop[:size]):
            return size
    return 0
