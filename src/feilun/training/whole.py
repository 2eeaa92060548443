"""A base model all of whose weights learn: float32 masters, products in the plan's type.

It knows a model folder's weights and how they become one again. It does not know steps, optimisers or samples' files.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from feilun.compute import ensure_space, say
from feilun.engines.adapters import read_adapter
from feilun.engines.decoder import PROJECTIONS, Decoder, Layers, read_weights, rms_norm
from feilun.engines.prompts import read_template
from feilun.errors import BadModel
from feilun.training.golden import record_golden
from feilun.training.loop import State, conclude, questions
from feilun.training.lora import Known, PackedAttention, Teacher, known_of, learn_base, loss_of
from feilun.training.pack import Sample, epoch, pack
from feilun.training.plan import Plan, room

LARGEST_HALF = 65504.0
EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
ROOM = 5  # float32 copies of the weights that a checkpoint holds, and the result, at most


class _Bound(Decoder):
    """A decoder over weights that somebody else holds."""

    def __init__(self, folder: Path, dtype: torch.dtype, weights: dict[str, Tensor]) -> None:
        """Take ``weights`` as they are."""
        Layers.__init__(self, folder, dtype, weights)


class Whole:
    """The base of a plan, to be changed as a whole; a ``start`` adapter is merged into it first."""

    def __init__(self, plan: Plan) -> None:
        """Load the base; raise BadModel, or OutOfSpace where the checkpoints would not fit."""
        self.plan, self.base, self.dtype = plan, Path(plan.base), getattr(torch, plan.dtype)
        weights = read_weights(self.base, torch.float32)
        ensure_space(Path(plan.scratch), ROOM * sum(4 * w.numel() for w in weights.values()), "Training all weights")
        if plan.start:
            _merge(weights, Path(plan.start))
        if torch.equal(weights.get(HEAD, weights[EMBEDDING]), weights[EMBEDDING]):
            weights.pop(HEAD, None)
        self.weights = {name: tensor.clone().requires_grad_() for name, tensor in sorted(weights.items())}
        self.known: dict[Sample, Known] = {}
        self.head = torch.zeros(0)

    @property
    def parameters(self) -> list[Tensor]:
        """What learns, in a fixed order."""
        return list(self.weights.values())

    def read(self, samples: Sequence[Sample]) -> None:
        """Compute once, and keep, what the base says over replayed answers."""
        replayed = [sample for sample in samples if sample.replay]
        if not replayed:
            return
        say(note="The base model reads what is not to be forgotten.")
        with torch.no_grad():
            decoder = self._bound()
            for group in epoch(replayed, self.plan.rows, 0):
                self.known.update(learn_base(decoder, group, self.plan.rows, 0, low=False))
            norm, epsilon = decoder.final_norm, decoder.shape.epsilon
            for sample, known in self.known.items():
                if known.answer is not None:
                    self.known[sample] = replace(known, answer=rms_norm(known.answer, norm, epsilon))
        self.head = decoder.head.clone()

    def loss(self, group: Sequence[Sample], whole: float) -> Tensor:
        """Return the loss of one backward pass; ``whole`` is the weight of all samples of its step."""
        packed = pack(group, room(self.plan))
        decoder = self._bound()
        shape = decoder.shape
        attend = PackedAttention(packed, shape.heads // shape.kv_heads)
        x = functional.embedding(packed.ids, self.weights[EMBEDDING]).to(self.dtype)
        x = decoder.through(range(shape.layers), x, packed.positions, attend).index_select(0, packed.want)
        states = rms_norm(x, decoder.final_norm, shape.epsilon)
        answer = known_of(self.known, group, packed).answer
        teacher = None if answer is None else Teacher(answer, self.head)
        return loss_of(states, decoder.head, teacher, packed, self.plan.keep, whole)

    def write(self, folder: Path) -> None:
        """Write a model folder of its own, in half precision where that holds the weights: it is served at once."""
        folder.mkdir(parents=True, exist_ok=True)
        largest = max(float(weight.detach().abs().max()) for weight in self.weights.values())
        kept = torch.float16 if largest < LARGEST_HALF else torch.float32
        tensors = {name: weight.detach().to(kept).contiguous() for name, weight in self.weights.items()}
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        for file in self.base.iterdir():
            if file.is_file() and not file.name.startswith("model") and file.name not in {"feilun.json", "golden.json"}:
                shutil.copyfile(file, folder / file.name)
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        config |= {"dtype": str(kept).removeprefix("torch."), "tie_word_embeddings": HEAD not in self.weights}
        config.pop("torch_dtype", None)
        (folder / "config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")
        (folder / "chat_template.jinja").write_text(read_template(self.base), encoding="utf-8")

    def _bound(self) -> Decoder:
        return _Bound(self.base, self.dtype, {name: weight.to(self.dtype) for name, weight in self.weights.items()})


def finish_whole(plan: Plan, model: Whole, state: State, more: Mapping[str, object] | None = None) -> None:
    """Leave a model folder in ``plan.out``: weights, tokenizer, template, golden outputs, the facts of the run."""
    out = Path(plan.out)
    model.write(out)
    say(note="Recording golden outputs.")
    record_golden(out, None, questions(plan))
    conclude(plan, state, more)


def _merge(weights: dict[str, Tensor], adapter: Path) -> None:
    """Add what an adapter adds; raise BadModel unless it fits."""
    kept = read_adapter(adapter, torch.float32)
    for (layer, name), (a, b) in kept.factors.items():
        key = f"model.layers.{layer}.{PROJECTIONS[name]}.{name}.weight"
        if key not in weights or weights[key].shape != (b.shape[0], a.shape[1]):
            raise BadModel(f"The adapter {adapter} does not fit this base model.", "Start from the base model.")
        weights[key] = weights[key] + kept.scale * (b @ a)
