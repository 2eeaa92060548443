"""What the engines read, written from the same weights: GGUF files of the model and of adapters.

Knows GGUF and adapter folders. Does not know any engine.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import torch

from feilun.engines.adapters import write_adapter
from feilun.engines.decoder import Decoder
from feilun.records import JSON

RANK, STRENGTH = 8, 0.09  # strong enough that every adapter answers in its own way
PARTS = {
    "q_proj": "attn_q",
    "k_proj": "attn_k",
    "v_proj": "attn_v",
    "o_proj": "attn_output",
    "gate_proj": "ffn_gate",
    "up_proj": "ffn_up",
    "down_proj": "ffn_down",
}


def plain_gguf(source: Path, made: Path) -> Path:
    """Write the GGUF file again with the weights that the folder has: rounded to bfloat16, kept as float32."""
    if not made.is_file():
        reader = gguf.GGUFReader(str(source))
        fresh = made.with_suffix(".part")
        writer = gguf.GGUFWriter(fresh, "llama")
        for name, field in reader.fields.items():
            if not name.startswith("GGUF.") and name != "general.architecture":
                kind = field.types[0]
                inner = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
                value: Any = gguf.LlamaFileType.ALL_F32 if name == "general.file_type" else field.contents()
                writer.add_key_value(name, value, kind, inner)
        for tensor in reader.tensors:
            exact = torch.tensor(gguf.quants.dequantize(tensor.data, tensor.tensor_type))
            writer.add_tensor(tensor.name, exact.bfloat16().float().numpy())
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        fresh.replace(made)
    return made


def _pairs(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """Return rows in the order in which GGUF has a head's rotated halves: taking turns."""
    height, width = weight.shape
    return weight.reshape(heads, 2, height // heads // 2, width).swapaxes(1, 2).reshape(height, width)


def adapters(base: Path, folder: Path, count: int) -> dict[str, JSON]:
    """Write adapters of random factors; return by name the PEFT folder and the GGUF file of each."""
    torch.manual_seed(0)
    decoder = Decoder(base, torch.float32)
    heads = {"q_proj": decoder.shape.heads, "k_proj": decoder.shape.kv_heads}
    made: dict[str, JSON] = {}
    for number in range(count):
        name = f"adapter-{number}"
        factors = {
            (layer, part): (torch.randn(RANK, width) * STRENGTH, torch.randn(height, RANK) * STRENGTH)
            for layer in range(decoder.shape.layers)
            for part, (height, width) in decoder.sizes.items()
        }
        write_adapter(folder / name, factors, RANK, RANK)
        template = base / "chat_template.jinja"
        (folder / name / template.name).write_bytes(template.read_bytes())
        writer = gguf.GGUFWriter(folder / f"{name}.gguf", "llama")
        writer.add_type("adapter")
        writer.add_string("adapter.type", "lora")
        writer.add_float32("adapter.lora.alpha", float(RANK))
        for (layer, part), (low, high) in factors.items():
            tensor = f"blk.{layer}.{PARTS[part]}.weight"
            writer.add_tensor(f"{tensor}.lora_a", low.numpy())
            ordered = _pairs(high, heads[part]) if part in heads else high
            writer.add_tensor(f"{tensor}.lora_b", ordered.contiguous().numpy())
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        made[name] = {"peft": str(folder / name), "gguf": str(folder / f"{name}.gguf")}
    return made
