"""Answers that conform to a grammar: which tokens may come next, and how to end well before the tokens run out.

It knows one tokenizer's vocabulary and llguidance's matchers. It does not know schemas, requests, or how tokens are
chosen among those that it allows.
"""

from __future__ import annotations

import json
import threading
from collections import Counter, OrderedDict
from dataclasses import dataclass

import numpy as np
import torch
from llguidance import LLMatcher, LLParserLimits, LLTokenizer
from numpy.typing import NDArray
from torch import Tensor

from feilun.engines.prompts import Prompter
from feilun.engines.schema import Unsatisfiable, answer_schema, call_text, functions, patterns, schemas, smallest
from feilun.errors import BadRequest

KEPT = 128
HINTS, HINT_TOKENS = 32, 200
MARGIN = 6  # tokens that a shortest end may be off by
JUMP = 24  # tokens that one token opens at least: a key, a value, the marks around them
STEPS = 4000  # longest end that is looked for
CLOSERS = "}]"
VALUES = '01n"t-[{,:23456789f.<'  # what a value may begin or go on with, what is over soonest first
MARKS = ":/.@-+_#?=TZ 0abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ123456789,()"  # in texts of a pattern
LETTER = "q"  # may come inside a text, and not outside
OPENERS = '{}[],:"<>'
_LIMITS = LLParserLimits(
    max_grammar_size=200_000,
    initial_lexer_fuel=2_000_000,
    step_lexer_fuel=200_000,
    step_max_items=50_000,
    max_lexer_states=100_000,
    precompute_large_lexemes=False,
    verbose_errors=False,
)
Bits = NDArray[np.bool_]


@dataclass(frozen=True)
class Words:
    """What the matchers of a tokenizer share: which tokens end an answer soonest, and which might open something."""

    size: int
    ends: frozenset[int]
    closers: list[int]
    values: list[int]
    marks: list[int]
    quote: int
    letter: int
    openers: Bits


@dataclass(frozen=True)
class Plan:
    """A compiled grammar: a matcher at its beginning, and what is known of its ends.

    ``jump`` is by how many tokens one token may put off the end, ``again`` by how many where the answer might end but
    for another call. ``hints`` are texts (as tokens) that look as the patterns of the schema want.
    """

    matcher: LLMatcher
    jump: int
    again: int
    hints: list[list[int]]


class Grammars:
    """The grammars of one tokenizer; compiled ones are kept, the least recently used is forgotten."""

    def __init__(self, prompter: Prompter, vocabulary: int) -> None:
        """Read the tokenizer of ``prompter``; masks have ``vocabulary`` entries, as the model's logits have."""
        self._tokens = LLTokenizer(
            prompter.tokenizer.to_str(), n_vocab=vocabulary, eos_token=sorted(prompter.end_ids) or None
        )
        texts = [self._tokens.decode_bytes([token]) for token in range(vocabulary)]
        single = {text: token for token, text in reversed(list(enumerate(texts))) if len(text) == 1}

        def known(marks: str) -> list[int]:
            return [single[mark.encode()] for mark in marks if mark.encode() in single]

        opening = set(OPENERS.encode())
        self._words = Words(
            vocabulary,
            prompter.end_ids,
            known(CLOSERS),
            known(VALUES),
            known(MARKS),
            single.get(b'"', 0),
            single.get(LETTER.encode(), 0),
            np.array([not opening.isdisjoint(text) for text in texts]),
        )
        self._kept: OrderedDict[str, Plan] = OrderedDict()
        self._lock = threading.Lock()

    def begin(self, grammar: str) -> Matcher:
        """Return a matcher at the beginning of ``grammar``.

        The first time compiles it, which may take a second for a large one: call it in a thread. Raises BadRequest
        that names what is not supported.
        """
        with self._lock:
            found = self._kept.get(grammar)
            if found:
                self._kept.move_to_end(grammar)
        if not found:
            found = self._compile(grammar)
            with self._lock:
                self._kept[grammar] = found
                while len(self._kept) > KEPT:
                    self._kept.popitem(last=False)
        return Matcher(found, self._words)

    def _compile(self, grammar: str) -> Plan:
        param, answer = "tools" if functions(grammar) else "response_format", answer_schema(grammar)
        sizes, texts = [JUMP], list[str]()
        for schema in schemas(grammar):
            try:
                sizes.append(JUMP + len(json.dumps(smallest(schema))))  # a token for every byte, at most
            except Unsatisfiable as error:
                at = "response_format" if schema == answer else param
                raise BadRequest(f"This schema cannot be enforced: {error}.", param=at) from error
            texts += patterns(schema)
        matcher = LLMatcher(self._tokens, grammar, log_level=0, limits=_LIMITS)
        if matcher.is_error():
            reason = " ".join(matcher.get_error().split("Enable '")[0].split())[:500]  # an option that we have not
            raise BadRequest(f"This schema cannot be enforced: {reason}", "Leave it out.", param)
        hints = [hint for text in texts[:HINTS] if (hint := self._hint(text))]
        opening = max((len(call_text(name, "")) for name, _ in functions(grammar)), default=0)
        return Plan(matcher, max(sizes), max(sizes) + opening, hints)

    def _hint(self, pattern: str) -> list[int]:
        grammar = LLMatcher.grammar_from_regex(pattern.removeprefix("^").removesuffix("$"))
        matcher = LLMatcher(self._tokens, grammar, log_level=0, limits=_LIMITS)
        return [] if matcher.is_error() else _shortest(matcher, self._words, None, HINT_TOKENS)


class Matcher:
    """One answer on its way through a grammar."""

    def __init__(self, plan: Plan, words: Words) -> None:
        """Begin at the beginning of ``plan``."""
        self._matcher = plan.matcher.deep_copy()
        self._plan = plan
        self._words = words
        self._left: int | None = None
        self._end: list[int] = []  # a short way to an end from here, once one was looked for
        self._look_at = -1

    def mask(self) -> Tensor | None:
        """Return what is to be added to the logits: 0 for tokens that may come, minus infinity for others.

        None: any may come. Raises RuntimeError where the grammar turned out to be too costly.
        """
        allowed = _allowed(self._matcher, self._words.size)
        if self._left is not None:
            allowed = self._narrowed(allowed, self._left)
        if allowed.all():
            return None
        if not allowed.any():
            raise RuntimeError("the grammar came to a dead end")
        return torch.from_numpy(np.where(allowed, np.float32(0), np.float32(-np.inf)))

    def take(self, token: int) -> bool:
        """Go on by a token that was chosen; False when the answer is complete, and nothing can follow."""
        if not self._matcher.consume_token(token):
            raise RuntimeError(f"the grammar broke off: {self._matcher.get_error()[:300]}")
        if self._end and self._end[0] == token:
            self._end = self._end[1:]
        elif self._matcher.validate_tokens(self._end) < len(self._end):
            self._end = []
        return not self._matcher.is_stopped()

    def closing(self, left: int) -> None:
        """Tell how many tokens are left: when few are, only what leads to a short valid end is allowed."""
        self._left = left

    def _narrowed(self, allowed: Bits, left: int) -> Bits:
        """Return what of ``allowed`` still leads to an end within ``left`` tokens.

        Far from the end, everything. Near it, the way to the end, and what opens nothing. At the end, the way alone.
        """
        if left > self._look_at >= 0:
            return allowed
        if self._matcher.is_accepting():  # it may be cut off here, so only nothing may be opened
            return allowed if left > self._plan.again + MARGIN else self._unopened(allowed)
        if not self._end:
            self._end = _shortest(self._matcher.deep_copy(), self._words, self._plan.hints, min(left + JUMP, STEPS))
        if not self._end:  # no end was found: look again a little later
            self._look_at = left - 8
            return allowed
        need = len(self._end)
        spare = left - need - self._plan.jump - MARGIN
        if spare > 0:
            self._look_at = left - 1 - spare // (self._plan.again + 1)
            self._end = []
            return allowed
        self._look_at = -1
        only = np.zeros_like(allowed)
        only[self._end[:1]] = True
        if left <= need + MARGIN:
            return only
        return (allowed & ~self._words.openers) | only

    def _unopened(self, allowed: Bits) -> Bits:
        ends = list(self._words.ends)
        narrowed = allowed & ~self._words.openers if allowed[self._words.letter] else np.zeros_like(allowed)
        narrowed[ends] = allowed[ends]
        return narrowed if narrowed.any() else allowed


def _shortest(matcher: LLMatcher, words: Words, hints: list[list[int]] | None, most: int) -> list[int]:
    """Return a short way to an end, ``most`` tokens long or shorter; nothing where none was found.

    Forced tokens are followed; else whatever closes; else, inside a text that must look like something, a hint of how
    it may look, or the mark that was tried least. Without ``hints`` the whole is such a text, and not within quotes.
    """
    way, tried = list[int](), Counter[int]()
    while len(way) <= most and not matcher.is_accepting():
        tokens = matcher.compute_ff_tokens() or _next(matcher, words, hints, tried)
        if not matcher.consume_tokens(tokens):
            return []
        way += tokens
    return way if matcher.is_accepting() else []


def _next(matcher: LLMatcher, words: Words, hints: list[list[int]] | None, tried: Counter[int]) -> list[int]:
    allowed = _allowed(matcher, words.size)
    text = allowed[words.letter]
    if hints is not None:
        if text and allowed[words.quote]:
            return [words.quote]
        closer = None if text else next((token for token in words.closers if allowed[token]), None)
        if closer is not None:
            return [closer]
        for hint in hints if not allowed[words.quote] else []:
            if matcher.validate_tokens([*hint, words.quote]) == len(hint) + 1:
                return hint
    possible = [token for token in (words.marks if text else words.values) if allowed[token]]
    if not possible:
        possible = np.flatnonzero(allowed)[:64].tolist() or [0]
    token = min(possible, key=lambda token: tried[token])
    tried[token] += 1
    return [token]


def _allowed(matcher: LLMatcher, size: int) -> Bits:
    bits = np.frombuffer(matcher.compute_bitmask(), dtype=np.uint8)
    if matcher.is_error():
        raise RuntimeError(f"the grammar broke off: {matcher.get_error()[:300]}")
    allowed: Bits = np.unpackbits(bits, bitorder="little")[:size].astype(np.bool_)
    return allowed if len(allowed) == size else np.pad(allowed, (0, size - len(allowed)))
