"""LoRA adapters (Hu et al. 2021) in the folder format of the PEFT library: read, write, apply to rows.

It knows factor pairs and their scale. It does not know how they were trained or which model version they belong to.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from feilun.engines.decoder import PROJECTIONS, Decoder
from feilun.errors import BadModel

Factors = dict[tuple[int, str], tuple[Tensor, Tensor]]  # (layer, projection) -> A [rank, in], B [out, rank]


@dataclass(frozen=True, slots=True)
class Adapter:
    """Factors of one adapter; a product gains ``scale * x A' B'``."""

    factors: Factors
    scale: float


def _key(layer: int, name: str, side: str) -> str:
    return f"base_model.model.model.layers.{layer}.{PROJECTIONS[name]}.{name}.lora_{side}.weight"


def write_adapter(folder: Path, factors: Factors, rank: int, alpha: int) -> None:
    """Write ``adapter_model.safetensors`` and ``adapter_config.json`` so that PEFT and our engine can load them."""
    tensors = {}
    for (layer, name), (a, b) in sorted(factors.items()):
        tensors[_key(layer, name, "A")] = a.detach().float().contiguous()
        tensors[_key(layer, name, "B")] = b.detach().float().contiguous()
    layers, names = sorted({layer for layer, _ in factors}), sorted({name for _, name in factors})
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": rank,
        "lora_alpha": alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": names,
        "layers_to_transform": layers,
        "layers_pattern": "layers",
        "inference_mode": True,
    }
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=1, sort_keys=True), encoding="utf-8")


def read_adapter(folder: Path, dtype: torch.dtype) -> Adapter:
    """Read a PEFT LoRA folder; raise BadModel for what is missing, damaged or of another kind."""
    try:
        config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
        tensors = load_file(folder / "adapter_model.safetensors")
        rank, alpha = float(config["r"]), float(config["lora_alpha"])
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise BadModel(f"The adapter {folder} cannot be read: {error}", "Train it again.") from error
    special = ("use_dora", "rank_pattern", "alpha_pattern", "fan_in_fan_out")
    if config.get("peft_type") != "LORA" or any(config.get(name) for name in special):
        raise BadModel(f"The adapter {folder} is not a plain LoRA.", "Only LoRA adapters can be served.")
    factors: Factors = {}
    for key, tensor in tensors.items():
        parts = key.split(".")
        if "layers" not in parts or f"lora_{parts[-2][-1]}" != parts[-2] or parts[-3] not in PROJECTIONS:
            raise BadModel(f"The adapter {folder} changes {key}, which is not supported.")
        if parts[-2] == "lora_A":
            layer, name = int(parts[parts.index("layers") + 1]), parts[-3]
            other = tensors.get(key.replace("lora_A", "lora_B"))
            if other is None:
                raise BadModel(f"The adapter {folder} lacks the partner of {key}.", "Train it again.")
            factors[layer, name] = (tensor.to(dtype), other.to(dtype))
    if 2 * len(factors) != len(tensors):
        raise BadModel(f"The adapter {folder} has a factor without its partner.", "Train it again.")
    return Adapter(factors, alpha / (rank**0.5 if config.get("use_rslora") else rank))


def check_fit(adapter: Adapter, decoder: Decoder) -> None:
    """Raise BadModel unless every product of ``adapter`` exists in ``decoder`` with the same width and height."""
    for (layer, name), (a, b) in adapter.factors.items():
        if layer >= decoder.shape.layers or (b.shape[0], a.shape[1]) != tuple(decoder.products[layer][name].shape):
            raise BadModel(
                f"The adapter does not fit this base model: layer {layer}, {name}.", "Name the base it was trained on."
            )


class RowAdapters:
    """Apply to every row of a flat batch the adapter of its own: one small product per adapter that is present.

    ``owners[i]`` names the adapter of row i, or None for the base model.
    """

    def __init__(self, decoder: Decoder, adapters: Mapping[str, Adapter], owners: Sequence[str | None]) -> None:
        """Group the rows of a batch by adapter."""
        self.decoder = decoder
        rows: dict[str, list[int]] = {}
        for index, owner in enumerate(owners):
            if owner is not None:
                rows.setdefault(owner, []).append(index)
        whole = len(rows) == 1 and len(next(iter(rows.values()))) == len(owners)
        self.groups = [(adapters[name], None if whole else torch.tensor(found)) for name, found in rows.items()]

    def linear(self, layer: int, name: str, x: Tensor) -> Tensor:
        """Return the base product [N, out] plus each row's own low-rank product."""
        y = self.decoder.linear(layer, name, x)
        for adapter, rows in self.groups:
            pair = adapter.factors.get((layer, name))
            if pair is None:
                continue
            a, b = pair
            if rows is None:
                y = torch.addmm(y, x @ a.t(), b.t(), alpha=adapter.scale)
            else:
                y.index_add_(0, rows, (x[rows] @ a.t()) @ b.t(), alpha=adapter.scale)
        return y
