"""Our decoder and adapters against the reference implementations: transformers and PEFT."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from tests.models import LLAMA3_ROPE, tiny_adapter, tiny_model
from transformers import AutoModelForCausalLM

from feilun.engines.adapters import Mixture, check_fit, read_adapter
from feilun.engines.cache import Cache, Span
from feilun.engines.decoder import Decoder, Packed, Project
from feilun.errors import BadModel

LENGTHS = (1, 7, 90)


def sequences() -> list[torch.Tensor]:
    """Return token ids of three lengths; the longest is beyond the original window of the scaled rotary embedding."""
    random = torch.Generator().manual_seed(5)
    return [torch.randint(0, 390, (length,), generator=random) for length in LENGTHS]


def reference(folder: Path, adapter: Path | None = None) -> list[torch.Tensor]:
    """Return transformers' logits of every sequence, each alone, with PEFT's adapter on it if one is given."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    if adapter:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # PEFT uses what transformers is about to take away
            model = PeftModel.from_pretrained(model, adapter)
    with torch.inference_mode():
        return [model(ids[None]).logits[0] for ids in sequences()]


def ours(folder: Path, adapter: Path | None = None, *, settled: bool = True) -> list[torch.Tensor]:
    """Return our logits of every sequence, all flat in one batch: first half of each by prefill, the rest by decode."""
    decoder = Packed(folder)
    if settled:
        decoder.settle()
        assert decoder.settled.wait(60)
    cache = Cache(decoder.shape, len(LENGTHS) + 2, 128)
    slots = [0, 2, 3]  # with a gap
    half = [(length + 1) // 2 for length in LENGTHS]
    ids = torch.cat([found[:count] for found, count in zip(sequences(), half, strict=True)])
    positions = torch.cat([torch.arange(count) for count in half])
    spans, begin = [], 0
    for slot, count in zip(slots, half, strict=True):
        spans.append(Span(slot, begin, count))
        begin += count
    own = read_adapter(adapter, torch.float32) if adapter else None
    mixture = Mixture(decoder, [own] if own else [])

    def project(rows: int) -> Project:
        return mixture.project([own] * rows)

    with torch.inference_mode():
        hidden = decoder.hidden(ids, positions, cache.attend([], [], spans), project(len(ids)))
        found = [list(part) for part in decoder.logits(hidden).split(half)]
        for step in range(max(LENGTHS)):
            rows = [row for row, length in enumerate(LENGTHS) if half[row] + step < length]
            if not rows:
                break
            at = [half[row] + step for row in rows]
            attend = cache.attend([slots[row] for row in rows], at)
            last = torch.stack([sequences()[row][place] for row, place in zip(rows, at, strict=True)])
            logits = decoder.logits(decoder.hidden(last, torch.tensor(at), attend, project(len(rows))))
            for row, one in zip(rows, logits, strict=True):
                found[row].append(one)
    return [torch.stack(part) for part in found]


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("llama", {}),
        ("llama", {"tie_word_embeddings": False, "num_key_value_heads": 4}),
        ("llama", {"num_key_value_heads": 1, "head_dim": 16}),
        ("llama", {"rope_parameters": LLAMA3_ROPE}),
        ("llama", {"attention_bias": True, "mlp_bias": True}),
        ("llama", {"rope_parameters": {"rope_type": "default", "rope_theta": 500000.0}, "rms_norm_eps": 1e-3}),
        ("qwen2", {}),
        ("qwen2", {"tie_word_embeddings": False, "num_key_value_heads": 1}),
        ("mistral", {"sliding_window": None}),
    ],
)
def test_logits_equal_transformers(tmp_path: Path, kind: str, config: dict[str, object]) -> None:
    """Prefill and decode give transformers' logits in float32, for every variant of the family."""
    folder = tiny_model(tmp_path, kind, **config)
    for mine, theirs in zip(ours(folder), reference(folder), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_packing_changes_nothing(tmp_path: Path, kind: str) -> None:
    """Weights that float16 holds are packed, others are not; logits stay transformers' before and after."""
    folder = tiny_model(tmp_path, kind, attention_bias=True)
    for dtype in (torch.float32, torch.bfloat16):
        file = folder / "model.safetensors"
        save_file({name: tensor.to(dtype) for name, tensor in load_file(file).items()}, file, {"format": "pt"})
        expected = reference(folder)
        for settled in (False, True):
            for mine, theirs in zip(ours(folder, settled=settled), expected, strict=True):
                torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-4)
        decoder = Packed(folder)
        decoder.settle()
        assert decoder.settled.wait(60)
        packed = {product.packed is not None for layer in decoder.fused for product in layer.values()}
        fbgemm = "fbgemm" in torch.backends.quantized.supported_engines
        assert packed == {fbgemm and dtype == torch.bfloat16}


def test_old_rotary_settings(tmp_path: Path) -> None:
    """Files from before ``rope_parameters`` say it in ``rope_theta`` and ``rope_scaling``; they mean the same."""
    folder = tiny_model(tmp_path, rope_parameters=LLAMA3_ROPE)
    expected = ours(folder)
    config = json.loads((folder / "config.json").read_text())
    scaling = config.pop("rope_parameters")
    for key in ("rope_type", "type"):
        old = {key: "llama3", **{k: v for k, v in scaling.items() if k not in {"rope_type", "rope_theta"}}}
        (folder / "config.json").write_text(json.dumps({**config, "rope_theta": 10000.0, "rope_scaling": old}))
        assert all(torch.equal(a, b) for a, b in zip(ours(folder), expected, strict=True))


def test_the_window_ends_where_attention_would_slide(tmp_path: Path) -> None:
    """We attend to everything, so a sliding window bounds the context; one that is switched off does not."""
    assert Decoder(tiny_model(tmp_path / "a", "mistral", sliding_window=96), torch.float32).shape.window == 96
    assert Decoder(tiny_model(tmp_path / "b", "mistral", sliding_window=None), torch.float32).shape.window == 512
    assert Decoder(tiny_model(tmp_path / "c", "qwen2"), torch.float32).shape.window == 512


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_peft_reads_our_adapters(tmp_path: Path, kind: str) -> None:
    """PEFT loads what we write, and gives the same logits as our rows; the adapter does change them."""
    folder = tiny_model(tmp_path / "base", kind)
    adapter = tiny_adapter(tmp_path / "adapter", folder, seed=3, layers=range(1, 2))
    mine = ours(folder, adapter)
    for one, theirs in zip(mine, reference(folder, adapter), strict=True):
        torch.testing.assert_close(one, theirs, rtol=0, atol=2e-4)
    assert (mine[2] - ours(folder)[2]).abs().max() > 0.1


def test_rank_stabilised_scale(tmp_path: Path, llama: Path, adapters: dict[str, Path]) -> None:
    """A rank-stabilised adapter (alpha / sqrt(rank)) is scaled as PEFT scales it."""
    folder = tmp_path / "adapter"
    save_adapter(folder, adapters["red"], use_rslora=True)
    for mine, theirs in zip(ours(llama, folder), reference(llama, folder), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=5e-4)
    assert read_adapter(folder, torch.float32).scale == 4.0


def save_adapter(folder: Path, source: Path, drop: str = "", **config: object) -> None:
    """Copy an adapter with other settings, and without tensors whose name holds ``drop``."""
    folder.mkdir()
    settings = json.loads((source / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**settings, **config}))
    tensors = load_file(source / "adapter_model.safetensors")
    kept = {name: tensor for name, tensor in tensors.items() if not drop or drop not in name}
    save_file(kept, folder / "adapter_model.safetensors")


@pytest.mark.parametrize(
    ("drop", "config"),
    [
        ("", {"peft_type": "IA3"}),
        ("", {"use_dora": True}),
        ("", {"rank_pattern": {"q_proj": 2}}),
        ("", {"alpha_pattern": {"q_proj": 2}}),
        ("", {"r": None}),
        ("layers.0.self_attn.q_proj.lora_B", {}),
        ("layers.0.self_attn.q_proj.lora_A", {}),
    ],
)
def test_adapters_that_mean_something_else(
    tmp_path: Path, adapters: dict[str, Path], drop: str, config: dict[str, object]
) -> None:
    """An adapter that we would apply wrongly is refused instead."""
    save_adapter(tmp_path / "adapter", adapters["red"], drop, **config)
    with pytest.raises(BadModel):
        read_adapter(tmp_path / "adapter", torch.float32)


def test_adapters_that_are_damaged(tmp_path: Path, adapters: dict[str, Path]) -> None:
    """A missing and a truncated adapter are refused."""
    with pytest.raises(BadModel, match="cannot be read"):
        read_adapter(tmp_path, torch.float32)
    save_adapter(tmp_path / "adapter", adapters["red"])
    file = tmp_path / "adapter" / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(BadModel, match="cannot be read"):
        read_adapter(tmp_path / "adapter", torch.float32)


def test_adapters_of_another_base(tmp_path: Path, adapters: dict[str, Path]) -> None:
    """An adapter whose products do not fit the base, in width or in layers, is refused."""
    red = read_adapter(adapters["red"], torch.float32)
    for config in ({"hidden_size": 64, "head_dim": 16}, {"num_hidden_layers": 1}):
        other = Decoder(tiny_model(tmp_path / str(len(config)), **config), torch.float32)
        with pytest.raises(BadModel, match="does not fit"):
            check_fit(red, other)
