"""A Hugging Face folder as one GGUF file, for llama.cpp and what is built on it.

Tensors are written one after the other, so that one is in memory at a time beside the weight file it is from. This
module knows GGUF's names, orders and types (through the package ``gguf``). It does not know adapters or versions.

Source: the GGUF specification; the order of rotary halves in queries and keys is llama.cpp's for its architecture
llama.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Kind
from gguf import LlamaFileType as FileType
from gguf import quants
from safetensors import safe_open
from torch import Tensor

from feilun.engines.decoder import Shape, read_shape
from feilun.engines.prompts import read_template
from feilun.errors import BadModel

TYPES: Mapping[str, tuple[Kind, FileType]] = {
    "f32": (Kind.F32, FileType.ALL_F32),
    "f16": (Kind.F16, FileType.MOSTLY_F16),
    "bf16": (Kind.BF16, FileType.MOSTLY_BF16),
    "q8_0": (Kind.Q8_0, FileType.MOSTLY_Q8_0),
    "q5_1": (Kind.Q5_1, FileType.MOSTLY_Q5_1),
    "q5_0": (Kind.Q5_0, FileType.MOSTLY_Q5_0),
    "q4_1": (Kind.Q4_1, FileType.MOSTLY_Q4_1),
    "q4_0": (Kind.Q4_0, FileType.MOSTLY_Q4_0),
}
_ARCHITECTURES = {
    "llama": gguf.MODEL_ARCH.LLAMA,
    "mistral": gguf.MODEL_ARCH.LLAMA,
    "qwen2": gguf.MODEL_ARCH.QWEN2,
}


def write_gguf(folder: Path, file: Path, kind: str, name: str, facts: Mapping[str, str]) -> None:
    """Write ``file`` from a Hugging Face ``folder``, its matrices as ``kind`` (a key of :data:`TYPES`).

    ``facts`` may hold ``license`` and ``description``. Raises BadModel for a tokenizer that GGUF has no form for.
    """
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    shape, arch = read_shape(folder), _ARCHITECTURES[config["model_type"]]
    writer: Any = gguf.GGUFWriter(file, gguf.MODEL_ARCH_NAMES[arch])
    wanted, file_type = TYPES[kind]
    _settings(writer, shape, config, name, facts)
    writer.add_file_type(file_type)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    _tokens(writer, folder, shape.vocabulary)
    halves = arch == gguf.MODEL_ARCH.LLAMA
    names = gguf.get_tensor_name_map(arch, shape.layers)
    found = list(_tensors(folder))
    for key, size, _ in found:
        kept = _kind(size, wanted)
        count = gguf.quant_shape_to_byte_shape(size, kept) if kept not in {Kind.F32, Kind.F16} else size
        width = {Kind.F32: 4, Kind.F16: 2}.get(kept, 1)
        dtype = np.dtype({Kind.F32: "float32", Kind.F16: "float16"}.get(kept, "uint8"))
        writer.add_tensor_info(_renamed(names, key), count, dtype, math.prod(count) * width, raw_dtype=kept)
    scaled = _rope_factors(shape)
    if scaled is not None:
        writer.add_tensor_info("rope_freqs.weight", scaled.shape, scaled.dtype, scaled.nbytes, raw_dtype=Kind.F32)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for key, size, place in found:
        values = _read(place, key).float()
        if halves and key.split(".")[-2] in {"q_proj", "k_proj"}:
            values = _turned(values, shape.heads if ".q_proj." in key else shape.kv_heads)
        writer.write_tensor_data(quants.quantize(values.numpy(), _kind(size, wanted)))
    if scaled is not None:
        writer.write_tensor_data(scaled)
    writer.close()


def _kind(size: tuple[int, ...], wanted: Kind) -> Kind:
    """Return how a tensor is kept: vectors whole, rows that do not divide into blocks in 16 bits."""
    if len(size) < 2:
        return Kind.F32
    block = gguf.GGML_QUANT_SIZES[wanted][0]
    return wanted if size[-1] % block == 0 else Kind.F16


def _tensors(folder: Path) -> Iterator[tuple[str, tuple[int, ...], Path]]:
    """Yield (name, shape, file) of every tensor."""
    for file in sorted(folder.glob("model*.safetensors")):
        with safe_open(file, "pt") as weights:
            keys = list(weights.keys())
            for key in keys:
                if not key.endswith("rotary_emb.inv_freq"):
                    yield key, tuple(weights.get_slice(key).get_shape()), file


def _read(file: Path, key: str) -> Tensor:
    with safe_open(file, "pt") as weights:
        found: Tensor = weights.get_tensor(key)
        return found


def _renamed(names: Any, key: str) -> str:
    found = names.get_name(key, try_suffixes=(".weight", ".bias"))
    if found is None:
        raise BadModel(f"GGUF has no name for the tensor {key}.", "Export it merged instead.")
    return str(found)


def _turned(weight: Tensor, heads: int) -> Tensor:
    """Return rows with rotary halves beside each other, as llama.cpp turns them: [2, D/2] of each head to [D/2, 2]."""
    halves = weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:])
    return halves.swapaxes(1, 2).reshape(weight.shape).contiguous()


def _rope_factors(shape: Shape) -> np.ndarray | None:
    """Return by what Llama 3 divides each frequency; None for models that do not."""
    if not shape.scaling:
        return None
    factor, old = float(shape.scaling["factor"]), float(shape.scaling["original_max_position_embeddings"])
    low, high = float(shape.scaling["low_freq_factor"]), float(shape.scaling["high_freq_factor"])
    inverse = 1.0 / shape.theta ** (torch.arange(0, shape.head_dim, 2).float() / shape.head_dim)
    blend = ((old * inverse / (2 * math.pi) - low) / (high - low)).clamp(0, 1)
    found: np.ndarray = (1.0 / ((1 - blend) / factor + blend)).float().numpy()
    return found


def _settings(writer: Any, shape: Shape, config: Mapping[str, Any], name: str, facts: Mapping[str, str]) -> None:
    writer.add_name(name)
    for each, add in (("license", writer.add_license), ("description", writer.add_description)):
        if facts.get(each):
            add(facts[each])
    writer.add_vocab_size(shape.vocabulary)
    writer.add_context_length(int(config.get("max_position_embeddings", shape.window)))
    writer.add_embedding_length(shape.hidden)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(int(config["intermediate_size"]))
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    if shape.head_dim * shape.heads != shape.hidden:
        writer.add_key_length(shape.head_dim)
        writer.add_value_length(shape.head_dim)
    writer.add_rope_dimension_count(shape.head_dim)
    writer.add_rope_freq_base(shape.theta)
    writer.add_layer_norm_rms_eps(shape.epsilon)


def _tokens(writer: Any, folder: Path, size: int) -> None:
    """Write the vocabulary: texts, kinds, merges, special tokens and the chat template."""
    told = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    model = told["model"]
    if model.get("type") != "BPE":
        raise BadModel(f"{folder} has a {model.get('type')} tokenizer, which GGUF has no form for here.")
    added = {each["id"]: each for each in told.get("added_tokens", [])}
    texts = {number: text for text, number in model["vocab"].items()}
    texts |= {number: each["content"] for number, each in added.items()}
    size = max(size, *(number + 1 for number in texts))
    kinds = [_token_kind(number, texts, added, bytewise=bool(model.get("byte_fallback"))) for number in range(size)]
    writer.add_tokenizer_model("llama" if model.get("byte_fallback") else "gpt2")
    writer.add_tokenizer_pre("default" if model.get("byte_fallback") else _pre(told.get("pre_tokenizer")))
    writer.add_token_list([texts.get(number, f"[PAD{number}]") for number in range(size)])
    writer.add_token_types(kinds)
    merges = [each if isinstance(each, str) else " ".join(each) for each in model["merges"]]
    if model.get("byte_fallback"):
        rank = {"".join(each.split(" ", 1)): place for place, each in enumerate(merges)}
        scores = [-float(rank.get(texts.get(number, ""), -1) + 1) for number in range(size)]
        writer.add_token_scores(scores)  # llama.cpp merges what has the highest score first
        writer.add_add_space_prefix(_spaced(told))
    else:
        writer.add_token_merges(merges)
    ids = {text: number for number, text in texts.items()}
    for part, text in _special(folder).items():
        if text in ids:
            getattr(writer, f"add_{part}_token_id")(ids[text])
    writer.add_add_bos_token(False)  # the chat template writes what there is to write
    writer.add_chat_template(read_template(folder))


def _token_kind(number: int, texts: Mapping[int, str], added: Mapping[int, Any], *, bytewise: bool) -> int:
    if number not in texts:
        return int(gguf.TokenType.UNUSED)
    if number in added:
        return int(gguf.TokenType.CONTROL if added[number].get("special") else gguf.TokenType.USER_DEFINED)
    text = texts[number]
    if bytewise and len(text) == 6 and text.startswith("<0x"):
        return int(gguf.TokenType.BYTE)
    return int(gguf.TokenType.NORMAL)


def _pre(given: Any) -> str:
    """Return llama.cpp's name of how a text is cut before tokens are merged."""
    steps = given.get("pretokenizers", [given]) if isinstance(given, dict) else []
    text = json.dumps(steps)
    if "{1,3}" in text:
        return "llama-bpe"
    if "(?i:" in text:
        return "qwen2"
    if any(step.get("type") == "Digits" and step.get("individual_digits") for step in steps if step):
        return "smollm"
    return "gpt-2" if "ByteLevel" in text else "default"


def _spaced(told: Mapping[str, Any]) -> bool:
    return "prepend" in json.dumps([told.get("normalizer"), told.get("pre_tokenizer")]).lower()


def _special(folder: Path) -> dict[str, str]:
    file = folder / "tokenizer_config.json"
    config = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    found: dict[str, str] = {}
    for part in ("bos", "eos", "unk", "pad"):
        value = config.get(f"{part}_token")
        text = value.get("content") if isinstance(value, dict) else value
        if isinstance(text, str):
            found[part] = text
    return found
