"""Base models: from folders and GGUF files to versions; what cannot be used is named; what a version is made of."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.engines.calls import Heard, ask
from tests.models import CHATML, tiny_model

from feilun.engines.batch import Batcher
from feilun.engines.convert import convert
from feilun.engines.decoder import Decoder
from feilun.engines.identity import PARTS, adapter_identity, base_identity, describe_difference
from feilun.engines.models import DEFAULT, ensure_base, register
from feilun.engines.prompts import Prompter
from feilun.errors import BadModel


def permuted(weight: np.ndarray, heads: int) -> np.ndarray:
    """Return query or key rows in llama.cpp's order, where a pair that turns together stands together."""
    rows, width = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, width).swapaxes(1, 2).reshape(rows, width)


def write_gguf(folder: Path, file: Path, kind: gguf.GGMLQuantizationType, template: str | None = CHATML) -> None:
    """Write a tiny Llama as a GGUF file, matrices in ``kind``, as llama.cpp's own conversion would."""
    config = json.loads((folder / "config.json").read_text())
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_vocab_size(config["vocab_size"])
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokens = sorted(tokenizer["model"]["vocab"], key=tokenizer["model"]["vocab"].get)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.CONTROL] * 3 + [gguf.TokenType.NORMAL] * (len(tokens) - 3))
    writer.add_token_merges([" ".join(pair) for pair in tokenizer["model"]["merges"]])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(2)
    if template:
        writer.add_chat_template(template)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config["num_hidden_layers"])
    for name, tensor in load_file(folder / "model.safetensors").items():
        array = tensor.float().numpy()
        if "q_proj" in name or "k_proj" in name:
            array = permuted(array, config["num_attention_heads" if "q_proj" in name else "num_key_value_heads"])
        packed = kind if array.ndim > 1 else gguf.GGMLQuantizationType.F32
        data = gguf.quants.quantize(np.ascontiguousarray(array), packed)
        writer.add_tensor(str(names.get_name(name, (".weight",))), data, raw_dtype=packed)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def greedy(folder: Path) -> list[int]:
    """Return a greedy answer."""
    batcher = Batcher(folder, 1, 128)
    batcher.load("base", folder, None)
    tokens = Heard(batcher, ask("What is the rate, 利率?")).wait().tokens
    batcher.stop()
    return tokens


def logits(folder: Path) -> torch.Tensor:
    """Return the logits after a prompt."""
    decoder = Decoder(folder, torch.float32)
    ids = torch.tensor(Prompter(folder).encode("What is the rate, 利率?"))

    def attend(_: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        q, k, v = (each.transpose(0, 1)[None] for each in (q, k, v))
        return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)[0].transpose(
            0, 1
        )

    with torch.inference_mode():
        return decoder.logits(decoder.hidden(ids, torch.arange(len(ids)), attend))


@pytest.mark.parametrize(("kind", "error"), [("F32", 0.02), ("Q8_0", 0.05)])
def test_a_gguf_file_becomes_a_folder(llama: Path, tmp_path: Path, kind: str, error: float) -> None:
    """A converted file gives the original's logits within what quantisation costs, its prompts exactly."""
    file = tmp_path / "Tiny.gguf"
    write_gguf(llama, file, gguf.GGMLQuantizationType[kind])
    folder = tmp_path / "folder"
    convert(file, folder)
    expected = logits(llama)
    assert ((logits(folder) - expected).pow(2).mean() / expected.pow(2).mean()).sqrt() < error
    talk = [{"role": "user", "content": "利率 🙂 rate"}]
    assert Prompter(folder).render(talk) == Prompter(llama).render(talk)
    text = Prompter(llama).render(talk)
    assert Prompter(folder).encode(text) == Prompter(llama).encode(text)
    assert Prompter(folder).end_ids == {2}


def test_a_gguf_file_is_converted_once(llama: Path, tmp_path: Path) -> None:
    """A file is converted again only when it changed; a damaged one leaves the model that was made before alone."""
    file, said = tmp_path / "tiny.gguf", []
    write_gguf(llama, file, gguf.GGMLQuantizationType.F32)
    first = ensure_base(tmp_path / "home", str(file), said.append)
    assert first.name == "tiny"
    assert ensure_base(tmp_path / "home", str(file), said.append) == first
    assert len(said) == 1
    whole = file.read_bytes()
    file.write_bytes(whole[:-5000])
    with pytest.raises(BadModel, match=r"tiny\.gguf"):
        ensure_base(tmp_path / "home", str(file), said.append)
    assert base_identity(Path(first.folder)) == first.identity
    assert not list((tmp_path / "home" / "models").glob(".convert-*"))


def test_two_who_come_at_once_make_one_model(llama: Path, tmp_path: Path) -> None:
    """The second waits, and takes what the first has made."""
    file, said = tmp_path / "tiny.gguf", list[str]()
    write_gguf(llama, file, gguf.GGMLQuantizationType.F32)
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(lambda _: ensure_base(tmp_path / "home", str(file), said.append), range(2))
    assert one == other
    assert len(said) == 1


def test_gguf_files_that_cannot_be_used(llama: Path, tmp_path: Path) -> None:
    """Truncated in its header, not GGUF at all, of another architecture, without a template: each says so."""
    good = tmp_path / "good.gguf"
    write_gguf(llama, good, gguf.GGMLQuantizationType.F32)
    (tmp_path / "short.gguf").write_bytes(good.read_bytes()[:300])
    (tmp_path / "text.gguf").write_text("no model at all")
    writer = gguf.GGUFWriter(tmp_path / "bert.gguf", "bert")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    write_gguf(llama, tmp_path / "plain.gguf", gguf.GGMLQuantizationType.F32, template=None)
    for name, words in (("short", "not a whole"), ("text", "not a whole"), ("bert", "bert"), ("plain", "no chat temp")):
        with pytest.raises(BadModel, match=words) as caught:
            convert(tmp_path / f"{name}.gguf", tmp_path / "out")
        assert f"{name}.gguf" in caught.value.message
    assert not (tmp_path / "out").exists()


def test_a_folder_is_used_where_it_lies(llama: Path, tmp_path: Path) -> None:
    """A Hugging Face folder is not copied; its version's id follows its content."""
    version = ensure_base(tmp_path / "home", str(llama))
    assert Path(version.folder) == llama
    assert ensure_base(tmp_path / "home", str(llama)) == version
    copy = shutil.copytree(llama, tmp_path / llama.name)
    assert ensure_base(tmp_path / "home2", str(copy)).id == version.id
    (copy / "chat_template.jinja").write_text("other")
    assert ensure_base(tmp_path / "home2", str(copy)).id != version.id


def test_folders_and_names_that_are_no_model(llama: Path, tmp_path: Path) -> None:
    """A missing, an empty and a pickle-only folder, a file and an unknown name are refused, each with its reason."""
    home = tmp_path / "home"
    (tmp_path / "empty").mkdir()
    pickled = shutil.copytree(llama, tmp_path / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    (tmp_path / "notes.txt").write_text("x")
    for given, words in (
        (str(tmp_path / "missing"), "no model"),
        (str(tmp_path / "empty"), "not a whole model folder"),
        (str(pickled), "not a whole model folder"),
        (str(tmp_path / "notes.txt"), "neither a GGUF file nor a folder"),
        ("unheard-of", "no model unheard-of"),
    ):
        with pytest.raises(BadModel, match=words):
            ensure_base(home, given)
    with pytest.raises(BadModel) as caught:
        ensure_base(home, "unheard-of")
    assert DEFAULT in caught.value.hint


def test_weights_that_cannot_be_used(llama: Path, tmp_path: Path) -> None:
    """Truncated weights, a missing tensor, another architecture, activation or rotary scaling: BadModel, named."""
    folder = shutil.copytree(llama, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    changes: list[tuple[dict[str, object], str]] = [
        ({"model_type": "gpt2"}, "gpt2"),
        ({"hidden_act": "gelu"}, "gelu"),
        ({"rope_parameters": {"rope_type": "yarn", "factor": 4}}, "yarn"),
        ({"num_hidden_layers": 3}, "lacks the tensor"),
        ({"num_attention_heads": None}, "config"),
    ]
    for change, words in changes:
        (folder / "config.json").write_text(json.dumps({**config, **change}))
        with pytest.raises(BadModel, match=words):
            Decoder(folder, torch.float32)
    for text in ("", "{", "[]", "3"):
        (folder / "config.json").write_text(text)
        with pytest.raises(BadModel, match="config"):
            Decoder(folder, torch.float32)
    (folder / "config.json").write_text(json.dumps(config))
    file = folder / "model.safetensors"
    whole = file.read_bytes()
    for size in (0, 5, 100, len(whole) - 1):
        file.write_bytes(whole[:size])
        with pytest.raises(BadModel, match="damaged or truncated"):
            Decoder(folder, torch.float32)
    file.unlink()
    with pytest.raises(BadModel, match="no model"):
        Decoder(folder, torch.float32)


def test_weights_in_several_files(llama: Path, tmp_path: Path) -> None:
    """Weights split over files, as larger models are, are read together; one that is missing is noticed."""
    split = tiny_model(tmp_path / "split")
    tensors = load_file(split / "model.safetensors")
    (split / "model.safetensors").unlink()
    half = sorted(tensors)[: len(tensors) // 2]
    from_half = {name: tensors[name] for name in half}
    rest = {name: tensor for name, tensor in tensors.items() if name not in from_half}
    for number, part in ((1, from_half), (2, rest)):
        save_file(part, split / f"model-0000{number}-of-00002.safetensors")
    assert greedy(split) == greedy(llama)
    (split / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(BadModel, match="lacks the tensor"):
        Decoder(split, torch.float32)


def test_registering_refuses_what_is_not_whole(llama: Path, tmp_path: Path) -> None:
    """A fetched folder that is not whole leaves the model of that name as it was."""
    first = register(tmp_path, "mine", shutil.copytree(llama, tmp_path / "fetched"))
    broken = shutil.copytree(llama, tmp_path / "broken")
    (broken / "tokenizer.json").unlink()
    with pytest.raises(BadModel):
        register(tmp_path, "mine", broken)
    assert ensure_base(tmp_path, "mine") == first


CHANGES: dict[str, Callable[[Path, Path], None]] = {
    "weights": lambda base, _: flip(base / "model.safetensors"),
    "tokenizer": lambda base, _: flip(base / "tokenizer.json"),
    "adapter": lambda _, adapter: flip(adapter / "adapter_model.safetensors"),
    "template": lambda _, adapter: flip(adapter / "chat_template.jinja"),
}


def flip(file: Path) -> None:
    """Change the last letter or byte of a file."""
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(bytes(content))


@pytest.mark.parametrize("part", CHANGES)
def test_a_change_shows_in_its_part_only(llama: Path, adapters: dict[str, Path], tmp_path: Path, part: str) -> None:
    """One changed byte in one part changes exactly that part's sum, and copying files changes none."""
    base, adapter = shutil.copytree(llama, tmp_path / "b"), shutil.copytree(adapters["red"], tmp_path / "a")
    before = adapter_identity(base_identity(llama), adapters["red"])
    assert set(before) == set(PARTS)
    assert adapter_identity(base_identity(base), adapter) == before
    CHANGES[part](base, adapter)
    after = adapter_identity(base_identity(base), adapter)
    assert [name for name in PARTS if after[name] != before[name]] == [part]


def test_an_adapter_that_is_not_whole(llama: Path, adapters: dict[str, Path], tmp_path: Path) -> None:
    """An adapter without its factors, settings or template has no identity."""
    sums = base_identity(llama)
    for name in ("adapter_config.json", "adapter_model.safetensors", "chat_template.jinja"):
        adapter = shutil.copytree(adapters["red"], tmp_path / name)
        (adapter / name).unlink()
        with pytest.raises(BadModel):
            adapter_identity(sums, adapter)


@pytest.mark.parametrize(
    ("ours", "theirs", "place", "shown"),
    [
        ("abc", "abd", 3, ('"abc"', '"abd"')),
        ("abc", "abcd", 4, ('"abc"', '"abcd"')),
        ("x", "y", 1, ('"x"', '"y"')),
        ("<|im_start|>system\n你好", "<|im_start|>system\n您好", 20, ("你", "您")),
    ],
)
def test_a_difference_is_named(ours: str, theirs: str, place: int, shown: tuple[str, str]) -> None:
    """The first character that differs is counted from one and shown from both sides."""
    said = describe_difference(ours, theirs)
    assert f"character {place}:" in said
    assert said.index(shown[0]) < said.rindex(shown[1])


@pytest.mark.model
@pytest.mark.slow
def test_the_embedded_model_knows_paris(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The embedded model, converted and served by our engine, answers an easy question right."""
    version = ensure_base(tmp_path_factory.mktemp("home"), DEFAULT)
    batcher = Batcher(Path(version.folder), 1, 128)
    batcher.load("base", Path(version.folder), None)
    heard = Heard(batcher, ask("What is the capital of France?", max_tokens=16)).wait()
    batcher.stop()
    assert "Paris" in heard.text
