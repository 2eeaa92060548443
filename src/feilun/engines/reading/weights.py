"""The weights of a model that reads, in the form in which many tokens are multiplied fastest.

This module knows both precisions, and how an adapter takes part. It does not know tokens or texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from feilun.engines.adapters import Adapter, Mixture, check_fit, read_adapter
from feilun.engines.decoder import TOGETHER, Decoder, Layers, Names, Packed, Project

Precision = Literal["float32", "bfloat16"]


def loaded(folder: Path, adapter: Path | None, precision: Precision) -> tuple[Layers, Project]:
    """Return the layers and their products: packed float32 as they are served, or bfloat16 with the adapter merged."""
    factors = read_adapter(adapter, torch.float32) if adapter else None
    if precision == "float32":
        packed = Packed(folder)
        packed.settle()
        packed.settled.wait()
        return packed, _served(packed, factors)
    decoder = Decoder(folder, torch.float32)
    if factors:
        check_fit(factors, decoder)
        for (layer, name), (a, b) in factors.factors.items():
            decoder.products[layer][name] = decoder.products[layer][name] + factors.scale * (b @ a)
    return decoder, _narrowed(decoder)


def _served(packed: Packed, factors: Adapter | None) -> Project:
    """Return the products as an engine serves them."""
    if factors is None:

        def project(layer: int, names: Names, x: Tensor) -> Sequence[Tensor]:
            product = packed.fused[layer][names]
            return product(x).split_with_sizes(product.sizes, -1)

        return project
    check_fit(factors, packed)
    mixture = Mixture(packed, [factors])
    known: dict[int, Project] = {}

    def adapted(layer: int, names: Names, x: Tensor) -> Sequence[Tensor]:
        if len(x) not in known:
            known.clear()
            known[len(x)] = mixture.project([factors] * len(x))
        return known[len(x)](layer, names, x)

    return adapted


def _narrowed(decoder: Decoder) -> Project:
    """Make a decoder bfloat16, and return its fused products."""
    narrow = torch.bfloat16
    decoder.dtype, decoder.embedding, decoder.head = narrow, decoder.embedding.to(narrow), decoder.head.to(narrow)
    decoder.final_norm = decoder.final_norm.to(narrow)
    decoder.norms = [(before.to(narrow), after.to(narrow)) for before, after in decoder.norms]
    fused: list[dict[Names, tuple[Tensor, Tensor | None, list[int]]]] = []
    for own, biases in zip(decoder.products, decoder.biases, strict=True):
        found: dict[Names, tuple[Tensor, Tensor | None, list[int]]] = {}
        for names in TOGETHER:
            sizes = [len(own[name]) for name in names]
            parts = [biases.get(name, torch.zeros(size)) for name, size in zip(names, sizes, strict=True)]
            bias = torch.cat(parts).to(narrow) if any(name in biases for name in names) else None
            found[names] = (torch.cat([own[name] for name in names]).to(narrow), bias, sizes)
        fused.append(found)
    decoder.products = []

    def project(layer: int, names: Names, x: Tensor) -> Sequence[Tensor]:
        weight, bias, sizes = fused[layer][names]
        return functional.linear(x, weight, bias).split_with_sizes(sizes, -1)

    return project
