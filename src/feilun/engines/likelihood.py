"""How likely a local model finds texts after others: sums of log-probabilities, many at a time.

Texts that begin alike share the work for what is alike, however deep: all few-shot questions their examples, the
choices of a question its wording. Sequences are cut where they part, into a tree; its nodes are computed level by
level, as many tokens together as a matrix product likes, without padding. Only positions that something is asked of
reach the head. This module knows a decoder, tokens and their tree. It does not know exams, or what becomes of the
numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from feilun.engines.decoder import Packed, rms_norm
from feilun.engines.prompts import Prompter
from feilun.engines.reading.prefixes import Node, Sequences, nodes_of
from feilun.engines.reading.trees import Past, Tree, Work
from feilun.engines.reading.weights import Precision, loaded

WINDOW = 1024  # tokens that a mean looks at, context included
MOST_TOKENS = 2048  # computed together
KEPT_BYTES = 1 << 30  # of keys and values of what is computed together
ROWS = 256  # of logits at once

Progress = Callable[[int, int], None]
# hidden states of asked positions [n, hidden], for whom [m], and which token [m] is looked for in which of them [m]
Rows = list[tuple[Tensor, Tensor, tuple[Tensor, Tensor]]]


class Likely(NamedTuple):
    """Of one text: the sum of its tokens' log-probabilities (nats), how many, and whether each was the likeliest."""

    logprob: float
    tokens: int
    greedy: bool


class Likelihood:
    """A base model, perhaps with an adapter, that reads; it is loaded when it is first asked."""

    def __init__(self, folder: Path, adapter: Path | None = None, precision: Precision = "float32") -> None:
        """Keep the folder of a base model in Hugging Face's layout, and that of a LoRA adapter."""
        self._folder, self._adapter, self._precision = folder, adapter, precision
        self._model: _Model | None = None

    @property
    def model(self) -> _Model:
        """The loaded model; raises BadModel."""
        if self._model is None:
            self._model = _Model(self._folder, self._adapter, self._precision)
        return self._model

    def __call__(self, pairs: Sequence[tuple[str, str]], progress: Progress | None = None) -> list[Likely]:
        """Return how likely each continuation is; ``pairs`` are (context, continuation), the tokens those of both.

        Context and continuation are encoded together, with the marks that the tokenizer itself puts before a text; the
        continuation's tokens are those beyond the context's own. Spaces at the end of a context count as its
        continuation's. An empty context is the mark at which texts begin. What goes beyond the window is cut from the
        beginning.
        """
        return self.of_tokens([self._encode(*pair) for pair in pairs], progress)

    def of_tokens(
        self, pairs: Sequence[tuple[Sequence[int], Sequence[int]]], progress: Progress | None = None
    ) -> list[Likely]:
        """Return how likely continuations are, given as token ids; a context holds at least one token."""
        return self.model.likely(pairs, self.model.layers.shape.window, progress)

    def means(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Return the mean log-probability (nats) of a token of each text; ``pairs`` are (what stands before, text).

        Texts beyond a window of 1,024 tokens are cut, contexts from their beginning. A text of no tokens, or of one
        without a context, has 0.0: nothing can be said of it.
        """
        encode = self.model.prompter.encode
        asked: list[tuple[list[int], list[int]]] = []
        for before, text in pairs:
            said = encode(text)[:WINDOW]
            context = encode(before)[-(WINDOW - len(said)) :] if before and len(said) < WINDOW else []
            asked.append((context or said[:1], said if context else said[1:]))
        places = [place for place, (_, said) in enumerate(asked) if said]
        found = [0.0] * len(asked)
        for place, likely in zip(places, self.model.likely([asked[place] for place in places], WINDOW), strict=True):
            found[place] = likely.logprob / likely.tokens
        return found

    def _encode(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        prompter = self.model.prompter
        if not context:
            return [prompter.first], prompter.encode(continuation)
        bare = context.rstrip()
        continuation = context[len(bare) :] + continuation
        head = prompter.encode_marked(bare)
        whole = prompter.encode_marked(bare + continuation)
        return head, whole[len(head) :]


class _Model:
    """Weights, tokenizer, and the passes through them."""

    def __init__(self, folder: Path, adapter: Path | None, precision: Precision) -> None:
        self.prompter = Prompter(folder)
        self.layers, self.project = loaded(folder, adapter, precision)
        shape = self.layers.shape
        each = 2 * shape.layers * shape.kv_heads * shape.head_dim * self.layers.dtype.itemsize
        self.most = max(64, min(MOST_TOKENS, KEPT_BYTES // each))

    def likely(
        self, pairs: Sequence[tuple[Sequence[int], Sequence[int]]], window: int, progress: Progress | None = None
    ) -> list[Likely]:
        """Return what is known of each continuation."""
        sequences = Sequences.of(pairs, window)
        sums = torch.zeros(len(pairs), dtype=torch.float64)
        greedy = torch.ones(len(pairs), dtype=torch.bool)
        done = 0
        with torch.inference_mode():
            for rows in self._through(sequences):
                for hidden, places, targets in rows:
                    gained, best = self._judged(hidden, targets)
                    sums.index_add_(0, places, gained)
                    greedy[places[~best]] = False
                    done += len(places)
                if progress:
                    progress(done, sequences.asked)
        return [
            Likely(float(total), len(said), bool(best) and len(said) > 0)
            for total, best, (_, said) in zip(sums, greedy, pairs, strict=True)
        ]

    def _judged(self, hidden: Tensor, targets: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Return log-probabilities (float64) of ``targets`` (row, token), and whether each is its row's likeliest."""
        row, token = targets
        gained, best = [], []
        for begin in range(0, len(hidden), ROWS):
            logits = self._logits(hidden[begin : begin + ROWS]).float()
            here = (row >= begin) & (row < begin + ROWS)
            at, wanted = row[here] - begin, token[here]
            chosen = logits[at, wanted]
            gained.append((chosen - logits.logsumexp(-1)[at]).double())
            best.append(logits.argmax(-1)[at] == wanted)
        return torch.cat(gained), torch.cat(best)

    def _logits(self, hidden: Tensor) -> Tensor:
        normed = rms_norm(hidden, self.layers.final_norm, self.layers.shape.epsilon)
        if isinstance(self.layers, Packed):
            return self.layers.top(normed)
        return functional.linear(normed, self.layers.head)

    def _through(self, sequences: Sequences) -> Iterator[Rows]:
        """Yield what was computed where something is asked, batch by batch."""
        waiting: list[tuple[list[Node], Past]] = [(nodes_of(sequences), Past.none(self.layers.shape))]
        while waiting:
            siblings, past = waiting.pop()
            group: list[Node] = []
            weight = 0
            for node in siblings:
                if node.weight > self.most:
                    rows, longer = self._alone(sequences, node, past)
                    yield rows
                    if node.children:
                        waiting.append((node.children, longer))
                    continue
                if weight + node.weight > self.most:
                    yield from self._together(sequences, group, past)
                    group, weight = [], 0
                group.append(node)
                weight += node.weight
            if group:
                yield from self._together(sequences, group, past)

    def _alone(self, sequences: Sequences, node: Node, past: Past) -> tuple[Rows, Past]:
        """Compute one long node, piece by piece; return its rows, and the past with it."""
        rows: Rows = []
        for piece in node.pieces(self.most):
            tree = Tree(self.layers.shape, past)
            rows += self._forward(sequences, [Work(piece)], tree, keep=True)
            past = tree.longer()
        return rows, past

    def _together(self, sequences: Sequences, nodes: list[Node], past: Past) -> Iterator[Rows]:
        """Compute nodes and all below them, level by level."""
        level, tree = [Work(node) for node in nodes], Tree(self.layers.shape, past)
        while level:
            yield self._forward(sequences, level, tree, keep=any(work.node.children for work in level))
            level = [Work(child, (*work.before, work.own)) for work in level for child in work.node.children]

    def _forward(self, sequences: Sequences, level: list[Work], tree: Tree, *, keep: bool) -> Rows:
        layers = self.layers
        ids = torch.cat([sequences.ids(work.node) for work in level])
        positions = torch.cat([torch.arange(work.node.begin, work.node.end) for work in level])
        attend = tree.level(level, keep=keep)
        hidden = layers.run(
            range(layers.shape.layers), layers.embedding[ids].to(layers.dtype), positions, attend, self.project
        )
        begin = 0
        picked: list[int] = []
        places: list[int] = []
        rows: list[int] = []
        tokens: list[int] = []
        for work in level:
            for position, asked in sequences.asked_of(work.node):
                for place, token in asked:
                    rows.append(len(picked))
                    places.append(place)
                    tokens.append(token)
                picked.append(begin + position - work.node.begin)
            begin += work.node.end - work.node.begin
        if not picked:
            return []
        return [(hidden[torch.tensor(picked)], torch.tensor(places), (torch.tensor(rows), torch.tensor(tokens)))]
