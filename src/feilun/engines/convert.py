"""GGUF file to Hugging Face folder: ``python -m feilun.engines.convert FILE FOLDER``.

A process of its own, since the conversion needs several times the model's size in memory and heavy libraries. It prints
one JSON line: ``{"ok": true}`` or ``{"error": …}``. It does not know names, homes or versions.

Weights are kept in bfloat16: the files hold at most 8 bits a weight, so nothing is lost that a wider type would keep.
"""

from __future__ import annotations

import json
import os
import stat
import struct
import sys
import threading
from functools import cache
from pathlib import Path
from typing import Any

import gguf
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from feilun.engines.decoder import ARCHITECTURES
from feilun.errors import BadModel, FeilunError

_open = gguf.GGUFReader


@cache
def _reader(file: str) -> gguf.GGUFReader:
    return _open(file)


def architecture(file: Path) -> str:
    """Return the architecture named in a GGUF header; raise BadModel for a truncated or foreign file."""
    try:
        reader = _reader(str(file))
        field = reader.fields["general.architecture"]
        return bytes(field.parts[field.data[0]]).decode()
    except (OSError, ValueError, KeyError, IndexError, UnicodeDecodeError, struct.error) as error:
        raise BadModel(f"{file} is not a whole GGUF file: {error}", "Fetch the model again.") from error


def convert(file: Path, folder: Path) -> None:
    """Write weights, tokenizer, template and configuration of ``file`` into ``folder``."""
    kind = architecture(file)
    if kind not in ARCHITECTURES:
        choices = ", ".join(sorted(ARCHITECTURES))
        raise BadModel(f"{file} holds a model of type {kind!r}, which is not supported.", f"Supported: {choices}.")
    # transformers would read the file anew for configuration, tokenizer and weights, and map names anew for every
    # module of the model: most of the time went there.
    vars(gguf).update(GGUFReader=_reader, get_tensor_name_map=cache(gguf.get_tensor_name_map))
    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    if not tokenizer.chat_template:
        raise BadModel(f"{file} has no chat template.", "Use an instruct (chat) model.")
    model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    settings = model.config.to_dict()
    for name in ("quantization_config", "_name_or_path"):
        settings.pop(name, None)
    settings["dtype"] = "bfloat16"
    build: Any = AutoModelForCausalLM.from_config
    plain = build(AutoConfig.for_model(**settings), dtype=torch.bfloat16)
    plain.load_state_dict(model.state_dict())
    plain.generation_config = model.generation_config
    plain.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


def main() -> int:
    """Run one conversion and say on stdout how it ended; end when a pipe on standard input closes."""
    if stat.S_ISFIFO(os.fstat(0).st_mode):
        threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        convert(Path(sys.argv[1]), Path(sys.argv[2]))
    except FeilunError as error:
        print(json.dumps({"error": error.message, "hint": error.hint}))
        return 1
    except (OSError, ValueError, RuntimeError, KeyError, NotImplementedError) as error:
        print(json.dumps({"error": f"{sys.argv[1]} could not be converted: {error}", "hint": ""}))
        return 1
    print(json.dumps({"ok": True}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
