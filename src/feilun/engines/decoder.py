"""The forward pass of the Llama family (Llama, Mistral, Qwen2), for training and for serving alike.

Tokens of all sequences lie flat, one row a token, so no product is spent on padding. How keys and values of one
sequence find each other is the caller's ``attend``; what an adapter adds to a product is the caller's ``linear``.
This module knows layers. It does not know tokenizers, batches, caches or requests.

Sources: Llama (Touvron et al. 2023), rotary embedding (Su et al. 2021), grouped-query attention (Ainslie et al. 2023).
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
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

# linear(layer, projection, x[N, in]) -> [N, out];  attend(layer, q[N, Hq, D], k[N, Hkv, D], v[N, Hkv, D]) -> [N, Hq, D]
Linear = Callable[[int, str, Tensor], Tensor]
Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]
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


def read_weights(folder: Path, dtype: torch.dtype) -> dict[str, Tensor]:
    """Read every ``*.safetensors`` of a folder; raise BadModel where a file is missing or truncated."""
    files = sorted(folder.glob("model*.safetensors"))
    if not files:
        raise BadModel(f"{folder} has no model*.safetensors.", "Name a complete Hugging Face folder or a GGUF file.")
    weights: dict[str, Tensor] = {}
    for file in files:
        try:
            weights.update({name: tensor.to(dtype) for name, tensor in load_file(file).items()})
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


class Decoder:
    """A decoder-only transformer over flat tokens."""

    def __init__(self, folder: Path, dtype: torch.dtype) -> None:
        """Load shape and weights of a Hugging Face folder."""
        self.shape = read_shape(folder)
        self.dtype = dtype
        weights = read_weights(folder, dtype)
        shape = self.shape
        try:
            self.embedding = weights["model.embed_tokens.weight"]
            self.head = weights.get("lm_head.weight", self.embedding)
            self.final_norm = weights["model.norm.weight"]
            prefixes = [f"model.layers.{layer}." for layer in range(shape.layers)]
            self.norms = [
                (weights[p + "input_layernorm.weight"], weights[p + "post_attention_layernorm.weight"])
                for p in prefixes
            ]
            self.products = [{n: weights[f"{p}{part}.{n}.weight"] for n, part in PROJECTIONS.items()} for p in prefixes]
        except KeyError as error:
            raise BadModel(f"{folder} lacks the tensor {error}.", "Fetch the model again.") from error
        self.biases = [
            {n: weights[f"{p}{part}.{n}.bias"] for n, part in PROJECTIONS.items() if f"{p}{part}.{n}.bias" in weights}
            for p in prefixes
        ]
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
        shape, linear = self.shape, linear or self.linear
        angles = positions[:, None, None].float() * self.frequencies
        cos, sin = angles.cos().to(self.dtype), angles.sin().to(self.dtype)
        count = len(x)
        for layer in layers:
            before, after = self.norms[layer]
            h = norm(x, before, shape.epsilon)
            q = _rotate(linear(layer, "q_proj", h).view(count, shape.heads, shape.head_dim), cos, sin)
            k = _rotate(linear(layer, "k_proj", h).view(count, shape.kv_heads, shape.head_dim), cos, sin)
            v = linear(layer, "v_proj", h).view(count, shape.kv_heads, shape.head_dim)
            x = x + linear(layer, "o_proj", attend(layer, q, k, v).reshape(count, -1))
            h = norm(x, after, shape.epsilon)
            gate = functional.silu(linear(layer, "gate_proj", h))
            x = x + linear(layer, "down_proj", gate * linear(layer, "up_proj", h))
        return x

    def logits(self, hidden: Tensor) -> Tensor:
        """Return logits [N, vocabulary] of hidden states [N, hidden]."""
        return functional.linear(rms_norm(hidden, self.final_norm, self.shape.epsilon), self.head)
