"""How likely a local model finds texts: the mean log-probability of a token, given what stands before.

This module knows a base model's decoder and tokenizer. It does not know what becomes of the numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from feilun.engines.decoder import Decoder
from feilun.engines.prompts import Prompter

WINDOW = 1024  # tokens that are looked at, context included


class Likelihood:
    """A base model that reads; it is loaded when it is first asked."""

    def __init__(self, folder: Path) -> None:
        """Keep the folder of a base model in Hugging Face's layout."""
        self._folder = folder
        self._model: tuple[Decoder, Prompter] | None = None

    def __call__(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Return the mean log-probability (nats) of a token of each text; ``pairs`` are (what stands before, text).

        Texts beyond the window are cut, contexts from their beginning. A text of no tokens, or of one without a
        context, has 0.0: nothing can be said of it.
        """
        if self._model is None:
            self._model = Decoder(self._folder, torch.float32), Prompter(self._folder)
        with torch.inference_mode():
            return [self._mean(*self._model, before, text) for before, text in pairs]

    def _mean(self, decoder: Decoder, prompter: Prompter, before: str, text: str) -> float:
        said = prompter.encode(text)[:WINDOW]
        context = prompter.encode(before)[-max(0, WINDOW - len(said)) :] if len(said) < WINDOW and before else []
        ids = torch.tensor([*context, *said])
        first = max(1, len(context))
        if len(ids) <= first:
            return 0.0
        groups = decoder.shape.heads // decoder.shape.kv_heads
        hidden = decoder.hidden(ids, torch.arange(len(ids)), _Causal(groups))
        chances = decoder.logits(hidden[first - 1 : -1]).log_softmax(-1)
        return float(chances[torch.arange(len(ids) - first), ids[first:]].mean())


class _Causal:
    """Attention of one text: each token sees itself and those before it."""

    def __init__(self, groups: int) -> None:
        self._groups = groups

    def __call__(self, _layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend: q [N, Hq, D], k and v [N, Hkv, D] -> [N, Hq, D]."""
        k, v = k.repeat_interleave(self._groups, 1), v.repeat_interleave(self._groups, 1)
        q, k, v = (t.transpose(0, 1)[None] for t in (q, k, v))
        return functional.scaled_dot_product_attention(q, k, v, is_causal=True)[0].transpose(0, 1)
