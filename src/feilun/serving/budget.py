"""How much memory a base model takes, before it is loaded. It knows files; it does not know what runs."""

from __future__ import annotations

import json
from pathlib import Path

from feilun.errors import BadModel

PROCESS_BYTES = 300 << 20  # an engine without a model: Python and its libraries
EMBEDDING_BYTES = 200 << 20
FLOAT_BYTES = 4  # whatever the files hold, it is computed in float32
CACHED_CALLS = 8  # calls of full length that the cache is expected to hold


def estimate(folder: Path, slots: int, context: int) -> int:
    """Return the bytes that serving the model of ``folder`` will take; raise BadModel if its files do not say."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        heads = int(config["num_attention_heads"])
        width = int(config.get("head_dim") or config["hidden_size"] // heads)
        a_token = 2 * int(config["num_hidden_layers"]) * int(config.get("num_key_value_heads") or heads) * width
        weights = sum(_numbers(file) for file in folder.glob("model*.safetensors"))
    except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError) as error:
        raise BadModel(f"The model in {folder} does not say how large it is: {error}.", "Fetch it again.") from error
    tokens = min(slots, CACHED_CALLS) * min(context, int(config.get("max_position_embeddings", context)))
    return PROCESS_BYTES + FLOAT_BYTES * (weights + a_token * tokens)


def _numbers(file: Path) -> int:
    """Return how many numbers a safetensors file says that it holds."""
    with file.open("rb") as stream:
        size = int.from_bytes(stream.read(8), "little")
        if size > file.stat().st_size:
            raise ValueError(f"{file.name} is truncated")
        header = json.loads(stream.read(size))
    total = 0
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            total += (int(end) - int(begin)) // _WIDTHS.get(str(entry["dtype"]), 2)
    return total


_WIDTHS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "F8_E4M3": 1}
