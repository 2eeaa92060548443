"""From logits to the next token of one answer: penalties, bias, grammar, temperature and the nucleus.

It knows one answer and what its request asks for. It does not know batches, models or how a grammar is written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from feilun.engines.prompts import Prompter
from feilun.engines.seam import Request
from feilun.errors import BadRequest


class Matcher(Protocol):
    """Follows one answer through its grammar."""

    def closing(self, left: int) -> None:
        """Be told how many tokens the answer may still have."""
        ...

    def mask(self) -> Tensor | None:
        """Return what to add to the logits [vocabulary], 0 or -inf; None when everything is allowed."""
        ...

    def take(self, token: int) -> bool:
        """Go on by a token; False when the grammar is complete."""
        ...


class Grammars(Protocol):
    """The grammars of one tokenizer."""

    def begin(self, grammar: str) -> Matcher:
        """Return the follower of a new answer; raise BadRequest for what is no grammar."""
        ...


MakeGrammars = Callable[[Prompter, int], Grammars]  # of a tokenizer and the size of its model's vocabulary


@dataclass(frozen=True, slots=True)
class Choice:
    """A chosen token; log-probabilities (nats) are the model's own, before penalties, bias, grammar and temperature."""

    token: int
    logprob: float | None = None
    top: tuple[tuple[bytes, float], ...] = ()


class Sampler:
    """Chooses the tokens of one answer."""

    def __init__(self, request: Request, prompter: Prompter, vocabulary: int, matcher: Matcher | None) -> None:
        """Follow ``request``; raise BadRequest for what it asks of tokens that do not exist."""
        self.request = request
        self.prompter = prompter
        self.matcher = matcher
        self.random = _generator(request)
        self.seen: Counter[int] = Counter()
        if any(not 0 <= token < vocabulary for token, _ in request.logit_bias):
            raise BadRequest(f"logit_bias names a token beyond 0 to {vocabulary - 1}.", param="logit_bias")
        if not 0 <= request.top_logprobs <= vocabulary:
            raise BadRequest(f"top_logprobs must be between 0 and {vocabulary}.", param="top_logprobs")
        bias: dict[int, float] = dict(request.logit_bias)
        self.bias = (torch.tensor(list(bias), dtype=torch.long), torch.tensor(list(bias.values()))) if bias else None
        self.penalised = bool(request.frequency_penalty or request.presence_penalty)
        self.told = request.logprobs or request.top_logprobs > 0
        shaped = self.bias is not None or self.penalised or matcher is not None
        self.plain = self.random is None and not self.told and not shaped  # the best token is all it needs

    def choose(self, logits: Tensor, left: int) -> Choice:
        """Return the next token for the model's ``logits`` [vocabulary], of which ``left`` may still come."""
        shaped = self._shaped(logits, left)
        token = int(shaped.argmax()) if self.random is None else draw(shaped, self.request, self.random)
        if self.penalised:
            self.seen[token] += 1
        if not self.told:
            return Choice(token)
        whole = logits.logsumexp(-1)
        top: tuple[tuple[bytes, float], ...] = ()
        if self.request.top_logprobs:
            values, ids = (logits - whole).topk(self.request.top_logprobs)
            pieces = (self.prompter.raw(one) for one in ids.tolist())
            top = tuple(zip(pieces, values.tolist(), strict=True))
        return Choice(token, float(logits[token] - whole), top)

    def _shaped(self, logits: Tensor, left: int) -> Tensor:
        """Return the logits that the next token is chosen by."""
        if self.bias is not None:
            logits = logits.index_add(0, *self.bias)
        if self.seen:
            request, ids = self.request, torch.tensor(list(self.seen))
            often = torch.tensor(list(self.seen.values()), dtype=logits.dtype)
            logits = logits.index_add(0, ids, -(often * request.frequency_penalty + request.presence_penalty))
        if self.matcher is not None:
            self.matcher.closing(left)
            mask = self.matcher.mask()
            logits = logits if mask is None else logits + mask
        return logits

    def take(self, token: int) -> bool:
        """Tell the grammar of a token that was no end token; False when the grammar is complete."""
        return self.matcher is None or self.matcher.take(token)


def _generator(request: Request) -> torch.Generator | None:
    if request.temperature <= 0:
        return None
    random = torch.Generator()
    random.manual_seed(request.seed % 2**63) if request.seed is not None else random.seed()
    return random


def draw(logits: Tensor, request: Request, random: torch.Generator) -> int:
    """Draw one token id: temperature, then the smallest set that holds ``top_p`` (Holtzman et al. 2020)."""
    chances = (logits / max(request.temperature, 1e-6)).softmax(-1)  # colder is zero in float32
    if request.top_p < 1:
        ordered, order = chances.sort(descending=True)
        beyond = ordered.cumsum(-1) - ordered >= request.top_p
        ordered[1:][beyond[1:]] = 0
        return int(order[torch.multinomial(ordered, 1, generator=random)])
    return int(torch.multinomial(chances, 1, generator=random))
