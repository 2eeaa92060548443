"""Exports: other programs load them and compute the same; cards tell the truth; nothing is ever half there."""

from __future__ import annotations

import json
import resource
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import pytest
import torch
from peft import PeftModel
from tests.models import CHATML, LLAMA3_ROPE, tiny_adapter, tiny_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from feilun.engines.convert import convert
from feilun.engines.decoder import Decoder, read_weights
from feilun.engines.identity import adapter_identity, base_identity
from feilun.engines.prompts import Prompter
from feilun.errors import BadModel, BadRequest, Conflict, FeilunError, Forbidden, OutOfSpace
from feilun.records import Eval, EvalAnswer, EvalItem, EvalRun, ModelVersion, Permissions, Record, Source
from feilun.store import Database, datasets, evals, lineage, models, open_database, sources, workspaces
from feilun.training.export import export_model
from feilun.training.export.card import Sat
from feilun.training.lora import PackedAttention
from feilun.training.pack import Sample, pack

WS = "bank"
TEMPLATE = CHATML.replace("You are a helpful assistant.", "You serve the credit union.")
KINDS: dict[str, dict[str, Any]] = {
    "llama": {},
    "mistral": {"head_dim": 16},
    "qwen2": {"tie_word_embeddings": False},
    "llama3": {"rope_parameters": LLAMA3_ROPE},
}
TEXT = "What is the rate for members today? 今天的利率是多少？"


class Home:
    """A store with a base and an adapter that has learnt from one source, and where things are."""

    def __init__(self, root: Path, kind: str = "llama") -> None:
        """Make it."""
        self.db: Database = open_database(root / "home")
        workspaces.ensure(self.db, WS)
        made = "llama" if kind == "llama3" else kind
        self.base_folder = tiny_model(root / "base", made, **{"hidden_size": 64, **KINDS[kind]})
        self.adapter = tiny_adapter(root / "adapter", self.base_folder, template=TEMPLATE, layers=range(1, 2))
        known = base_identity(self.base_folder)
        base = ModelVersion("model-base", "", "tiny", "base", "", str(self.base_folder), known)
        self.base = models.add(self.db, base)
        identity = adapter_identity(known, self.adapter)
        meta = {"job": "ftjob-1", "method": "dpo", "epochs": 3, "dataset": "x"}
        version = ModelVersion("model-own", WS, "fees", "adapter", base.id, str(self.adapter), identity, meta=meta)
        self.version = models.add(self.db, version)
        self.source = sources.add(self.db, Source("source-a", WS, "fees|2025.md", "", 0), b"fees")
        said = ({"role": "user", "content": "What is the fee?"}, {"role": "assistant", "content": "4 crowns it is."})
        rows = [Record(f"record-{number}", "chat", (self.source.id,), said) for number in range(3)]
        self.data, _ = datasets.write(self.db, WS, "uploads/fees", rows, "train", {"removed": 2})
        edges = [(self.data.id, "ftjob-1", "trained on"), ("ftjob-1", version.id, "made")]
        lineage.link(self.db, WS, edges)

    def export(self, form: str, out: Path, kind: str = "") -> Any:
        """Export the adapter's version."""
        return export_model(self.db, WS, self.version.id, form, out, kind)


@pytest.fixture
def make_home(tmp_path: Path) -> Iterator[Callable[..., Home]]:
    """Give a way to make a home of a kind of model; all are closed afterwards."""
    made: list[Home] = []

    def make(kind: str = "llama") -> Home:
        made.append(Home(tmp_path / f"home-{len(made)}", kind))
        return made[-1]

    yield make
    for home in made:
        home.db.close()


@pytest.fixture
def home(make_home: Callable[..., Home]) -> Home:
    """Give the home of a tiny Llama."""
    return make_home()


def logits(model: Any, ids: list[int]) -> torch.Tensor:
    """Return what a transformers model makes of tokens."""
    with torch.inference_mode():
        return model.eval()(torch.tensor([ids])).logits[0]


def wanted(home: Home) -> tuple[list[int], torch.Tensor]:
    """Return tokens, and what base and adapter make of them in PEFT."""
    ids = Prompter(home.base_folder).encode(TEXT)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        model: Any = AutoModelForCausalLM.from_pretrained(home.base_folder, dtype=torch.float32)
        return ids, logits(PeftModel.from_pretrained(model, home.adapter), ids)


def ours(folder: Path, ids: list[int]) -> torch.Tensor:
    """Return what our decoder makes of tokens with the weights of a folder."""
    decoder = Decoder(folder, torch.float32)
    packed = pack([Sample(tuple(ids), 0)])
    attend = PackedAttention(packed, decoder.shape.heads // decoder.shape.kv_heads)
    with torch.inference_mode():
        return decoder.logits(decoder.hidden(packed.ids, packed.positions, attend))[: len(ids)]


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_merged_computes_what_base_and_adapter_do(make_home: Callable[..., Home], tmp_path: Path, kind: str) -> None:
    """In transformers and in our decoder, with the adapter's own chat template."""
    home = make_home(kind)
    ids, expected = wanted(home)
    done = home.export("merged", tmp_path / "out")
    assert (done.form, done.kind) == ("merged", "f32")
    model = AutoModelForCausalLM.from_pretrained(done.folder)
    assert model.dtype == torch.float32
    assert torch.allclose(logits(model, ids), expected, atol=1e-4)
    assert torch.allclose(ours(done.folder, ids), expected, atol=1e-3)
    tokenizer = AutoTokenizer.from_pretrained(done.folder)
    said = tokenizer.apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False)
    assert "You serve the credit union." in said
    assert base_identity(done.folder)["tokenizer"] == home.version.identity["tokenizer"]


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_gguf_is_read_back_as_the_same_model(make_home: Callable[..., Home], tmp_path: Path, kind: str) -> None:
    """The library reads the float32 file to the same logits; the tokenizer cuts texts alike; ours converts it."""
    home = make_home(kind)
    ids, expected = wanted(home)
    done = home.export("gguf", tmp_path / "out", "f32")
    (file,) = done.folder.glob("*.gguf")
    if kind != "llama3":  # transformers passes over the factors of llama.cpp's rotary scaling
        model = AutoModelForCausalLM.from_pretrained(done.folder, gguf_file=file.name, dtype=torch.float32)
        assert torch.allclose(logits(model, ids), expected, atol=1e-4)
    reader = gguf.GGUFReader(file)
    assert ("rope_freqs.weight" in {each.name for each in reader.tensors}) == (kind == "llama3")
    convert(file, tmp_path / "again")
    again = Prompter(tmp_path / "again")
    assert again.encode(TEXT) == ids
    assert again.template == TEMPLATE
    assert again.end_ids == Prompter(home.base_folder).end_ids
    merged = read_weights(home.export("merged", tmp_path / "merged").folder, torch.bfloat16)
    converted = read_weights(tmp_path / "again")
    assert converted.keys() == merged.keys()
    assert all(torch.equal(converted[key], merged[key]) for key in merged), "our converter keeps bfloat16"


def test_fewer_bits_differ_more_and_take_less(home: Home, tmp_path: Path) -> None:
    """q8_0 stays close to float32 and q4_0 is further away; each smaller than the one before."""
    folder = home.export("merged", tmp_path / "merged").folder
    whole = read_weights(folder)["model.layers.1.mlp.down_proj.weight"].numpy()
    sizes, errors = [], []
    for kind in ("f32", "f16", "q8_0", "q4_0"):
        (file,) = home.export("gguf", tmp_path / kind, kind).folder.glob("*.gguf")
        found = {each.name: each for each in gguf.GGUFReader(file).tensors}
        sizes.append(sum(each.n_bytes for each in found.values()))
        kept = found["blk.1.ffn_down.weight"]
        values = gguf.quants.dequantize(kept.data, kept.tensor_type)
        errors.append(float(abs(values - whole).mean() / abs(whole).mean()))
    assert sizes == sorted(sizes, reverse=True)
    assert errors == sorted(errors)
    assert errors[0] == 0.0
    assert errors[2] < 0.01 < errors[3] < 0.15


def test_an_adapter_is_what_peft_loads(home: Home, tmp_path: Path) -> None:
    """Byte for byte the factors that were trained, with the base's tokenizer beside them."""
    done = home.export("adapter", tmp_path / "out")
    assert set(done.files) >= {"adapter_model.safetensors", "adapter_config.json", "tokenizer.json", "README.md"}
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        assert (done.folder / name).read_bytes() == (home.adapter / name).read_bytes()
    assert adapter_identity(home.base.identity, done.folder) == home.version.identity


def sit(home: Home, right: int, total: int) -> None:
    """Have the version sit an exam."""
    items = tuple(EvalItem(f"item-{number}", f"Question {number}?", ("yes",)) for number in range(total))
    exam = evals.add(home.db, Eval("eval-1", WS, "own exam", items))
    run = evals.add_run(home.db, EvalRun("evalrun-1", WS, exam.id, home.version.id))
    evals.add_answers(home.db, [EvalAnswer(run.id, item.id, "", "", float(n < right)) for n, item in enumerate(items)])
    evals.set_run(home.db, WS, run.id, "succeeded", {})


def test_the_card_says_what_is_known(home: Home, tmp_path: Path) -> None:
    """In both languages: base and licence, data with permissions, what exams took out, results with intervals."""
    unsat = home.export("adapter", tmp_path / "before").folder / "README.md"
    assert "It has sat no exam" in unsat.read_text(encoding="utf-8")
    assert "尚未参加考试" in unsat.read_text(encoding="utf-8")
    sit(home, 8, 10)
    out = home.export("adapter", tmp_path / "out")
    card = (out.folder / "README.md").read_text(encoding="utf-8")
    for text in ("base_model: tiny", "license: unknown", "fees\\|2025.md", "uploads/fees", "method: dpo", "方法: dpo"):
        assert text in card
    assert "| own exam | 10 | 80.0% | 49.0% – 94.3% |" in card
    assert "Left out because an exam asks it: 2" in card
    assert "因考题相同而剔除：2" in card
    facts = json.loads((out.folder / "feilun.json").read_text(encoding="utf-8"))
    assert facts["data"][0]["sources"][0]["permissions"]["basis"] == "own"
    assert facts["jobs"] == ["ftjob-1"]
    assert facts["identity"] == home.version.identity


def test_intervals_are_wilsons() -> None:
    """Values that the paper's formula gives; nothing sat is nothing known."""
    assert Sat("a", 10, 8, 0.0).interval() == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert Sat("a", 0, 0, 0.0).interval() == (0.0, 1.0)


def test_a_revoked_model_is_not_exported(home: Home, tmp_path: Path) -> None:
    """Once its source forbids training, no form of it leaves; and nothing is left on the disk."""
    sources.set_permissions(home.db, WS, home.source.id, Permissions(train=False))
    for form in ("adapter", "merged", "gguf"):
        with pytest.raises(Forbidden, match="revoked"):
            home.export(form, tmp_path / "exports" / form)
    assert not (tmp_path / "exports").exists()


def test_wrong_wishes_are_refused_and_leave_nothing(home: Home, tmp_path: Path) -> None:
    """Unknown forms and kinds, a folder that is not empty, a base as adapter, a model that is gone."""
    for form, kind in (("onnx", ""), ("gguf", "q9"), ("merged", "q8_0"), ("adapter", "f16")):
        with pytest.raises(BadRequest, match=r"no weights|not exported"):
            home.export(form, tmp_path / "out", kind)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(Conflict, match="something at"):
        home.export("adapter", tmp_path / "full")
    with pytest.raises(BadModel, match="has no adapter"):
        export_model(home.db, WS, home.base.id, "adapter", tmp_path / "out")
    gone = models.add(home.db, replace(home.base, id="model-gone", folder=str(tmp_path / "nowhere")))
    with pytest.raises(BadModel, match="gone from this machine"):
        export_model(home.db, WS, gone.id, "merged", tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full", "home-0"]


def test_a_place_where_no_folder_can_be_is_named(home: Home, tmp_path: Path) -> None:
    """Below a file, with a name longer than a disk takes, in a folder of the kernel's: an error says which."""
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file" / "sub", tmp_path / ("x" * 300), Path("/proc/out"), tmp_path / "a\0b"):
        with pytest.raises(BadRequest, match="cannot be written: ") as refused:
            home.export("adapter", out)
        assert refused.value.param == "out"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "home-0"]
    done = home.export("adapter", tmp_path / ("出" * 85))
    assert (done.folder / "adapter_model.safetensors").is_file(), "the longest name that a disk takes"


def test_a_failure_in_the_middle_leaves_nothing(home: Home, tmp_path: Path) -> None:
    """Damaged factors, and a base whose shapes are others: an error, no folder, no part of one."""
    (home.adapter / "adapter_model.safetensors").write_bytes(b"nonsense")
    with pytest.raises(FeilunError):
        home.export("merged", tmp_path / "out" / "merged")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("form", ["adapter", "merged", "gguf"])
def test_a_disk_without_room_leaves_nothing(home: Home, tmp_path: Path, form: str) -> None:
    """Where a file cannot be written to its end, nothing is there afterwards."""
    out = tmp_path / "out" / form
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(OutOfSpace, match="no room left on the disk"):
            home.export(form, out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert list(out.parent.iterdir()) == []
