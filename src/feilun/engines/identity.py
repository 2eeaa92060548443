"""What a model version is: the hash of weights, adapter, tokenizer, chat template and generation defaults.

It knows files and sums. It does not know who compares them, or what a difference leads to.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from feilun.engines.prompts import read_template
from feilun.errors import BadModel
from feilun.records import JSON, content_hash

PARTS = ("weights", "adapter", "tokenizer", "template", "defaults")
DEFAULTS: JSON = {"temperature": 0.0, "top_p": 1.0}


def _sum(files: list[Path]) -> str:
    total = hashlib.sha256()
    for file in files:
        total.update(file.name.encode())
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                total.update(block)
    return total.hexdigest()


def base_identity(folder: Path) -> JSON:
    """Return the sums of a base model's folder; raise BadModel where a part is missing."""
    weights = sorted(folder.glob("model*.safetensors"))
    tokenizer = folder / "tokenizer.json"
    if not weights or not tokenizer.is_file() or not (folder / "config.json").is_file():
        raise BadModel(f"{folder} is not a whole model folder.", "Name a Hugging Face folder or a GGUF file.")
    return {
        "weights": _sum([*weights, folder / "config.json"]),
        "adapter": "",
        "tokenizer": _sum([tokenizer]),
        "template": hashlib.sha256(read_template(folder).encode()).hexdigest(),
        "defaults": content_hash(DEFAULTS),
    }


def adapter_identity(base: Mapping[str, str], folder: Path) -> JSON:
    """Return the sums of an adapter on a base: ``folder`` holds the factors and the template it was trained with."""
    files = [folder / "adapter_config.json", folder / "adapter_model.safetensors"]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise BadModel(f"The adapter {folder} lacks {', '.join(missing)}.", "Train it again.")
    template = hashlib.sha256(read_template(folder).encode()).hexdigest()
    return {**base, "adapter": _sum(files), "template": template}


def describe_difference(ours: str, theirs: str) -> str:
    """Return in words where two texts first differ: ``at character 12: trainer has 'a', engine has 'b'``."""
    place = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs)))
    shown = [json.dumps(text[max(0, place - 8) : place + 12], ensure_ascii=False) for text in (ours, theirs)]
    return f"at character {place + 1}: trainer has {shown[0]}, engine has {shown[1]}"
