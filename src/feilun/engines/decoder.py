"""The forward pass of the Llama family (Llama, Mistral, Qwen2), for training and for serving alike.

Tokens of all sequences lie flat, one row a token, so no product is spent on padding. How keys and values of one
sequence find each other is the caller's ``attend``; what an adapter adds to a product is the caller's ``linear`` or
``project``. ``Decoder`` keeps the weights as they are named, for training; ``Packed`` keeps them as they multiply
fastest, for serving. This module knows layers. It does not know tokenizers, batches, caches or requests.

Sources: Llama (Touvron et al. 2023), rotary embedding (Su et al. 2021), grouped-query attention (Ainslie et al. 2023).
"""

from __future__ import annotations

import json
import math
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from feilun.errors import BadModel

ARCHITECTURES = {"llama", "mistral", "qwen2"}
PROJECTIONS = {
    "q_proj": "self_attn",
    "k_proj": "self_attn",
    "v_proj": "self_attn",
    "o_proj": "self_attn",
    "gate_proj": "mlp",
    "up_proj": "mlp",
    "down_proj": "mlp",
}

Names = tuple[str, ...]
QKV: Names = ("q_proj", "k_proj", "v_proj")
OUT: Names = ("o_proj",)
GATE_UP: Names = ("gate_proj", "up_proj")
DOWN: Names = ("down_proj",)
TOGETHER = (QKV, OUT, GATE_UP, DOWN)  # projections of the same input

# linear(layer, projection, x[N, in]) -> [N, out];  project does so for several projections of the same x
# attend(layer, q[N, Hq, D], k[N, Hkv, D], v[N, Hkv, D]) -> [N, Hq, D]
Linear = Callable[[int, str, Tensor], Tensor]
Project = Callable[[int, Names, Tensor], Sequence[Tensor]]
Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]
CHECKED = 1 << 16
ROUNDING = 2.0**-24  # of float32
Norm = Callable[[Tensor, Tensor, float], Tensor]


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of one model."""

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    window: int
    theta: float
    epsilon: float
    scaling: dict[str, Any]


def read_shape(folder: Path) -> Shape:
    """Read ``config.json``; raise BadModel for what is missing or not of this family."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadModel(
            f"{folder} has no readable config.json.", "Name a Hugging Face folder or a GGUF file."
        ) from error
    if not isinstance(config, dict):
        raise BadModel(f"{folder}/config.json is not an object.", "Fetch the model again.")
    kind = config.get("model_type")
    if kind not in ARCHITECTURES:
        raise BadModel(
            f"{folder} is a model of type {kind!r}, which is not supported.",
            f"Supported: {', '.join(sorted(ARCHITECTURES))}.",
        )
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    turning = rope.get("rope_type", rope.get("type", "default"))
    if turning not in {"default", "llama3"}:
        raise BadModel(f"{folder} uses rotary scaling {rope!r}, which is not supported.")
    if config.get("hidden_act", "silu") != "silu":
        raise BadModel(f"{folder} uses the activation {config['hidden_act']!r}, which is not supported.")
    try:
        heads = int(config["num_attention_heads"])
        return Shape(
            layers=int(config["num_hidden_layers"]),
            hidden=int(config["hidden_size"]),
            heads=heads,
            kv_heads=int(config.get("num_key_value_heads") or heads),
            head_dim=int(config.get("head_dim") or config["hidden_size"] // heads),
            vocabulary=int(config["vocab_size"]),
            window=min(int(config.get("max_position_embeddings", 2048)), _sliding_window(config)),
            theta=float(rope.get("rope_theta") or config.get("rope_theta") or 10000.0),
            epsilon=float(config.get("rms_norm_eps", 1e-6)),
            scaling=dict(rope) if turning == "llama3" else {},
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BadModel(f"{folder}/config.json lacks or spoils {error}.", "Fetch the model again.") from error


def _sliding_window(config: dict[str, Any]) -> int:
    """Return beyond how many tokens attention would slide: we stay within, where it is the same as full attention."""
    slides = config.get("use_sliding_window", config["model_type"] == "mistral") and config.get("sliding_window")
    return int(slides or sys.maxsize)


def read_weights(folder: Path, dtype: torch.dtype | None = None) -> dict[str, Tensor]:
    """Read every ``*.safetensors`` of a folder; raise BadModel where a file is missing or truncated.

    Without a ``dtype`` they are as stored, and still lie in the files.
    """
    files = sorted(folder.glob("model*.safetensors"))
    if not files:
        raise BadModel(f"{folder} has no model*.safetensors.", "Name a complete Hugging Face folder or a GGUF file.")
    weights: dict[str, Tensor] = {}
    for file in files:
        try:
            weights.update({name: tensor.to(dtype or tensor.dtype) for name, tensor in load_file(file).items()})
        except (SafetensorError, OSError) as error:
            raise BadModel(f"{file} is damaged or truncated: {error}", "Fetch the model again.") from error
    return weights


def rms_norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """Root mean square norm (Zhang and Sennrich 2019), computed in float32."""
    wide = x.float()
    scale = torch.rsqrt(wide.square().mean(-1, keepdim=True) + epsilon)
    return (wide * scale).to(x.dtype) * weight


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    left, right = x.chunk(2, dim=-1)
    return torch.cat((left * cos - right * sin, right * cos + left * sin), dim=-1)


class Layers:
    """What training and serving share: everything but how the products are kept."""

    def __init__(self, folder: Path, dtype: torch.dtype, weights: dict[str, Tensor]) -> None:
        """Take from the ``weights`` of a Hugging Face folder what is no product."""
        self.shape, self.dtype = read_shape(folder), dtype
        prefixes = [f"model.layers.{layer}." for layer in range(self.shape.layers)]
        try:
            self.embedding = weights["model.embed_tokens.weight"]
            self.head = weights.get("lm_head.weight", self.embedding)
            self.final_norm = weights["model.norm.weight"].to(dtype)
            self.norms = [
                (
                    weights[p + "input_layernorm.weight"].to(dtype),
                    weights[p + "post_attention_layernorm.weight"].to(dtype),
                )
                for p in prefixes
            ]
            self.products = [{n: weights[f"{p}{part}.{n}.weight"] for n, part in PROJECTIONS.items()} for p in prefixes]
        except KeyError as error:
            raise BadModel(f"{folder} lacks the tensor {error}.", "Fetch the model again.") from error
        self.biases = [
            {n: weights[f"{p}{part}.{n}.bias"] for n, part in PROJECTIONS.items() if f"{p}{part}.{n}.bias" in weights}
            for p in prefixes
        ]
        self.sizes = {name: (weight.shape[0], weight.shape[1]) for name, weight in self.products[0].items()}
        self.frequencies = self._frequencies()

    def _frequencies(self) -> Tensor:
        """Inverse rotary frequencies [head_dim / 2], with Llama 3's scaling where the model asks for it."""
        shape, steps = self.shape, torch.arange(0, self.shape.head_dim, 2).float()
        inverse = 1.0 / shape.theta ** (steps / shape.head_dim)
        if not shape.scaling:
            return inverse
        factor, old = float(shape.scaling["factor"]), float(shape.scaling["original_max_position_embeddings"])
        low, high = float(shape.scaling["low_freq_factor"]), float(shape.scaling["high_freq_factor"])
        turns = old * inverse / (2 * math.pi)
        blend = ((turns - low) / (high - low)).clamp(0, 1)
        return (1 - blend) * inverse / factor + blend * inverse

    def run(
        self, layers: range, x: Tensor, positions: Tensor, attend: Attend, project: Project, norm: Norm = rms_norm
    ) -> Tensor:
        """Return what ``through`` does, with projections of the same input asked for together."""
        shape, count = self.shape, len(x)
        angles = positions[:, None, None].float() * self.frequencies
        cos, sin = angles.cos().to(self.dtype), angles.sin().to(self.dtype)
        for layer in layers:
            before, after = self.norms[layer]
            q, k, v = project(layer, QKV, norm(x, before, shape.epsilon))
            q = _rotate(q.view(count, shape.heads, shape.head_dim), cos, sin)
            k = _rotate(k.view(count, shape.kv_heads, shape.head_dim), cos, sin)
            mixed = attend(layer, q, k, v.view(count, shape.kv_heads, shape.head_dim)).reshape(count, -1)
            x = x + project(layer, OUT, mixed)[0]
            gate, up = project(layer, GATE_UP, norm(x, after, shape.epsilon))
            x = x + project(layer, DOWN, functional.silu(gate) * up)[0]
        return x


class Decoder(Layers):
    """A decoder-only transformer over flat tokens, with every weight under its own name."""

    def __init__(self, folder: Path, dtype: torch.dtype) -> None:
        """Load shape and weights of a Hugging Face folder."""
        super().__init__(folder, dtype, read_weights(folder, dtype))

    def linear(self, layer: int, name: str, x: Tensor) -> Tensor:
        """Return the base model's product, without any adapter."""
        return functional.linear(x, self.products[layer][name], self.biases[layer].get(name))

    def hidden(
        self, ids: Tensor, positions: Tensor, attend: Attend, linear: Linear | None = None, norm: Norm = rms_norm
    ) -> Tensor:
        """Return the last hidden states [N, hidden] of flat token ids [N] at positions [N], before the final norm."""
        return self.through(range(self.shape.layers), self.embedding[ids], positions, attend, linear, norm)

    def through(
        self,
        layers: range,
        x: Tensor,
        positions: Tensor,
        attend: Attend,
        linear: Linear | None = None,
        norm: Norm = rms_norm,
    ) -> Tensor:
        """Return the hidden states [N, hidden] that ``layers`` make of ``x`` [N, hidden]."""
        each = linear or self.linear

        def project(layer: int, names: Names, x: Tensor) -> list[Tensor]:
            return [each(layer, name, x) for name in names]

        return self.run(layers, x, positions, attend, project, norm)

    def logits(self, hidden: Tensor) -> Tensor:
        """Return logits [N, vocabulary] of hidden states [N, hidden]."""
        return functional.linear(rms_norm(hidden, self.final_norm, self.shape.epsilon), self.head)


class Product:
    """``x W' + b`` in float32, for weights of several projections of the same x, one below the other.

    Weights that float16 holds are packed so, which halves what is read from memory for every token; inputs, products
    and sums are float32 all the same. Until they are packed, they are widened anew for every product.
    """

    def __init__(self, weights: Sequence[Tensor], biases: Sequence[Tensor | None]) -> None:
        """Take weights [out, in] as they are stored, and as many biases."""
        self.sizes = [len(weight) for weight in weights]
        self.stored = list(weights)
        self.whole: Tensor | None = None
        self.packed: Any = None
        self.bias: Tensor | None = None
        if any(bias is not None for bias in biases):
            parts = [torch.zeros(len(w)) if b is None else b.float() for w, b in zip(weights, biases, strict=True)]
            self.bias = torch.cat(parts)

    def settle(self, *, narrow: bool) -> None:
        """Take the form that is kept, ``narrow`` if it fits; others may multiply meanwhile."""
        whole = torch.empty(sum(self.sizes), self.stored[0].shape[1])
        for part, weight in zip(whole.split_with_sizes(self.sizes), self.stored, strict=True):
            part.copy_(weight)
        if narrow and _fits_half(whole):
            self.packed = torch.ops.quantized.linear_prepack_fp16(whole, self.bias)
        else:
            self.whole = whole
        self.stored = []

    def __call__(self, x: Tensor) -> Tensor:
        """Return [N, out]."""
        stored = self.stored  # looked at first, since it is let go of last
        if self.packed is not None:
            result: Tensor = torch.ops.quantized.linear_dynamic_fp16(x, self.packed)
            return result
        if self.whole is not None:
            return functional.linear(x, self.whole, self.bias)
        y = torch.cat([functional.linear(x, weight.float()) for weight in stored], -1)
        return y if self.bias is None else y + self.bias


def _fits_half(weight: Tensor) -> bool:
    """Say whether float16 holds a matrix exactly, but for what a float32 sum of its products rounds off anyhow.

    Small pieces, since fresh memory for a whole matrix takes longer than the comparison.
    """
    flat = weight.view(-1)
    for begin in range(0, weight.numel(), CHECKED):
        wide = flat[begin : begin + CHECKED]
        narrow = wide.half().float()
        if not torch.equal(narrow, wide) and (narrow - wide).abs().max() > ROUNDING * wide.abs().max():
            return False
    return True


class Packed(Layers):
    """A decoder-only transformer over flat tokens for serving: float32, its products fused and packed.

    Packing takes seconds, so ``settle`` has it done beside the first answers, which are slower; ``settled`` is set when
    sums change no more, and nothing lies in the files any longer.
    """

    def __init__(self, folder: Path) -> None:
        """Load a Hugging Face folder."""
        super().__init__(folder, torch.float32, read_weights(folder))
        self.fused = [
            {names: Product([own[n] for n in names], [biases.get(n) for n in names]) for names in TOGETHER}
            for own, biases in zip(self.products, self.biases, strict=True)
        ]
        self.top = Product([self.head], [None])
        self.embedding = self.embedding.clone()
        self.final_norm = self.final_norm.clone()
        self.norms = [(before.clone(), after.clone()) for before, after in self.norms]
        del self.head, self.products, self.biases
        self.settled = threading.Event()
        self._closed = False
        self._packing = threading.Thread(target=self._settle, name="packing", daemon=True)

    def settle(self) -> None:
        """Begin to pack, once."""
        if self._packing.ident is None:
            self._packing.start()

    def _settle(self) -> None:
        narrow = "fbgemm" in torch.backends.quantized.supported_engines
        for product in (self.top, *(product for layer in self.fused for product in layer.values())):
            if self._closed:
                return
            product.settle(narrow=narrow)
        self.settled.set()

    def close(self) -> None:
        """Stop packing."""
        self._closed = True
        if self._packing.ident is not None:
            self._packing.join()

    def project(self, layer: int, names: Names, x: Tensor) -> Sequence[Tensor]:
        """Return the base model's products, without any adapter."""
        product = self.fused[layer][names]
        return product(x).split_with_sizes(product.sizes, -1)

    def hidden(self, ids: Tensor, positions: Tensor, attend: Attend, project: Project | None = None) -> Tensor:
        """Return the last hidden states [N, hidden] of flat token ids [N] at positions [N], before the final norm."""
        x = self.embedding[ids].float()
        return self.run(range(self.shape.layers), x, positions, attend, project or self.project)

    def logits(self, hidden: Tensor) -> Tensor:
        """Return logits [N, vocabulary] of hidden states [N, hidden]."""
        return self.top(rms_norm(hidden, self.final_norm, self.shape.epsilon))
