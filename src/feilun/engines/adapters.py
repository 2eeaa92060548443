"""LoRA adapters (Hu et al. 2021) in the folder format of the PEFT library: read, write, apply to rows.

It knows factor pairs and their scale. It does not know how they were trained or which model version they belong to.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional

from feilun.engines.decoder import PROJECTIONS, TOGETHER, Layers, Names, Packed, Project
from feilun.errors import BadModel

Factors = dict[tuple[int, str], tuple[Tensor, Tensor]]  # (layer, projection) -> A [rank, in], B [out, rank]


SLACK = 2  # a mixture may be this many times as wide as the adapters that are present


@dataclass(frozen=True, slots=True, eq=False)
class Adapter:
    """Factors of one adapter; a product gains ``scale * x A' B'``."""

    factors: Factors
    scale: float

    @property
    def rank(self) -> int:
        """The largest rank of its factors."""
        return max((a.shape[0] for a, _ in self.factors.values()), default=0)

    def low(self, layer: int, name: str, size: tuple[int, int]) -> Tensor:
        """Return A [rank, in] of a product of ``size`` (out, in), filled up with zeros."""
        a = self.factors[layer, name][0] if (layer, name) in self.factors else torch.zeros(0, size[1])
        return functional.pad(a, (0, 0, 0, self.rank - a.shape[0]))

    def high(self, layer: int, name: str, size: tuple[int, int]) -> Tensor:
        """Return scaled B' [rank, out] of a product of ``size`` (out, in), filled up with zeros."""
        b = self.factors[layer, name][1] if (layer, name) in self.factors else torch.zeros(size[0], 0)
        return functional.pad(b.t() * self.scale, (0, 0, 0, self.rank - b.shape[1]))


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


def check_fit(adapter: Adapter, decoder: Layers) -> None:
    """Raise BadModel unless every product of ``adapter`` exists in ``decoder`` with the same width and height."""
    for (layer, name), (a, b) in adapter.factors.items():
        if layer >= decoder.shape.layers or (b.shape[0], a.shape[1]) != decoder.sizes[name]:
            raise BadModel(
                f"The adapter does not fit this base model: layer {layer}, {name}.", "Name the base it was trained on."
            )


def fill(present: Sequence[Adapter], more: Sequence[Adapter]) -> list[Adapter]:
    """Return ``present``, and as many of ``more`` as the slack of a mixture allows: they may come again."""
    found, room = list(present), (SLACK - 1) * sum(one.rank for one in present)
    for one in more:
        room -= one.rank
        if room >= 0:
            found.append(one)
    return found


class Mixture:
    """Several adapters side by side along the rank: one pair of products serves the rows of all of them.

    Every adapter has columns of its own; a row's low-rank product is zeroed outside those of its adapter. Building one
    copies all factors, so it is kept while it holds the adapters that are present and not many more.
    """

    def __init__(self, decoder: Packed, adapters: Sequence[Adapter]) -> None:
        """Lay the factors of ``adapters`` together."""
        self.decoder = decoder
        self.adapters = list(adapters)
        self.owners = torch.tensor([place for place, one in enumerate(adapters) for _ in range(one.rank)])
        self.factors: dict[tuple[int, Names], tuple[Tensor, list[tuple[int, int, Tensor]]]] = {}
        for layer in range(decoder.shape.layers):
            for names in TOGETHER:
                present = [name for name in names if any((layer, name) in one.factors for one in adapters)]
                if present:
                    low = torch.cat([one.low(layer, name, decoder.sizes[name]) for name in present for one in adapters])
                    self.factors[layer, names] = (low, [self._high(layer, name, names) for name in present])

    def _high(self, layer: int, name: str, names: Names) -> tuple[int, int, Tensor]:
        """Return where the outputs of ``name`` lie among those of ``names``, and its factors [rank, out]."""
        sizes = self.decoder.sizes
        begin = sum(sizes[other][0] for other in names[: names.index(name)])
        return begin, sizes[name][0], torch.cat([one.high(layer, name, sizes[name]) for one in self.adapters])

    def serves(self, adapters: Sequence[Adapter]) -> bool:
        """Say whether it holds all of ``adapters``, and little beside them."""
        return all(one in self.adapters for one in adapters) and len(self.owners) <= SLACK * sum(
            one.rank for one in adapters
        )

    def project(self, rows: Sequence[Adapter | None]) -> Project:
        """Return the products of a batch whose row i belongs to ``rows[i]``, None for the base model."""
        places = {id(one): place for place, one in enumerate(self.adapters)}
        own = torch.tensor([places.get(id(one), -1) for one in rows])
        mask = (own[:, None] == self.owners).float()
        whole = bool(mask.all())
        decoder = self.decoder

        def project(layer: int, names: Names, x: Tensor) -> Sequence[Tensor]:
            product, found = decoder.fused[layer][names], self.factors.get((layer, names))
            y = product(x)
            if found is not None:
                a, parts = found
                low = (x @ a.t()).view(len(x), len(parts), -1)
                if not whole:
                    low *= mask[:, None]
                for place, (begin, size, b) in enumerate(parts):
                    y[:, begin : begin + size].addmm_(low[:, place], b)
            return y.split_with_sizes(product.sizes, -1)

        return project
