"""A base and an adapter as one model: a Hugging Face folder whose weights are W + s B A.

This module knows weight files and factors. It does not know versions, cards or GGUF.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from feilun.engines.adapters import Adapter, read_adapter
from feilun.engines.decoder import PROJECTIONS, read_shape
from feilun.engines.prompts import read_template
from feilun.errors import BadModel

DTYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
_NAMES = {torch.float32: "float32", torch.float16: "float16", torch.bfloat16: "bfloat16"}
_BESIDE = ("generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
_MORE = ("added_tokens.json", "vocab.json", "merges.txt", "tokenizer.model", "model.safetensors.index.json", "LICENSE*")


def merge(base: Path, adapter: Path | None, out: Path, dtype: torch.dtype = torch.float32) -> None:
    """Write the folder ``out``: ``base`` with the weights of ``adapter`` in its own, tokenizer, template, settings.

    float32 keeps every bit that the engine computes with. Raises BadModel for an adapter that does not fit.
    """
    out.mkdir(parents=True, exist_ok=True)
    for file, weights in merged_weights(base, adapter):
        whole = {name: tensor.to(dtype).contiguous() for name, tensor in weights.items()}
        save_file(whole, out / file.name, metadata={"format": "pt"})
        del weights, whole
    for pattern in (*_BESIDE, *_MORE):
        for file in base.glob(pattern):
            shutil.copyfile(file, out / file.name)
    index = out / "model.safetensors.index.json"
    if index.is_file():
        size = sum(file.stat().st_size for file in out.glob("model*.safetensors"))
        told = json.loads(index.read_text(encoding="utf-8"))
        told["metadata"] = {**told.get("metadata", {}), "total_size": size}
        index.write_text(json.dumps(told, indent=1), encoding="utf-8")
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    config.pop("quantization_config", None)
    config.pop("torch_dtype", None)
    config["dtype"] = _NAMES[dtype]
    (out / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    (out / "chat_template.jinja").write_text(read_template(adapter or base), encoding="utf-8")


def merged_weights(base: Path, adapter: Path | None) -> Iterator[tuple[Path, dict[str, Tensor]]]:
    """Yield every weight file of ``base`` with its tensors, merged ones in float32; one file is in memory at a time."""
    factors = read_adapter(adapter, torch.float32) if adapter else Adapter({}, 1.0)
    left = set(factors.factors)
    shape = read_shape(base)
    files = sorted(base.glob("model*.safetensors"))
    if not files:
        raise BadModel(f"{base} has no model*.safetensors.", "Fetch the base model again.")
    names = {
        f"model.layers.{layer}.{part}.{name}.weight": (layer, name)
        for layer in range(shape.layers)
        for name, part in PROJECTIONS.items()
    }
    for file in files:
        try:
            weights = load_file(file)
        except (SafetensorError, OSError) as error:
            raise BadModel(f"{file} is damaged or truncated: {error}", "Fetch the base model again.") from error
        for key in weights.keys() & names.keys():
            pair = factors.factors.get(names[key])
            if pair is None:
                continue
            a, b = pair
            if weights[key].shape != (b.shape[0], a.shape[1]):
                raise BadModel(f"The adapter {adapter} does not fit {base}: {key}.", "Name the base it was trained on.")
            weights[key] = weights[key].float() + factors.scale * (b @ a)
            left.discard(names[key])
        yield file, weights
    if left:
        layer, name = min(left)
        raise BadModel(f"The adapter {adapter} changes layer {layer}, {name}, which {base} has not.")
