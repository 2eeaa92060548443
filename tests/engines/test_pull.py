"""Pulling base models, against a real server on the loopback that speaks both hubs' interfaces."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.engines.hub import COMMIT, LoopbackHub, running_hub
from tests.models import tiny_model

from feilun.engines import pull as pulling
from feilun.engines.models import ensure_base, pulled
from feilun.engines.pull import pull
from feilun.errors import BadModel, BadRequest, Busy, EngineError, Forbidden, NotFound, OutOfSpace

HUBS = ("hf", "ms")


@pytest.fixture(scope="module")
def model_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return the files of a tiny model, beside some that nobody needs."""
    folder = tiny_model(tmp_path_factory.mktemp("tiny"))
    files = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
    return {**files, "pytorch_model.bin": b"pickle", "README.md": b"# Tiny", "onnx/model.onnx": b"other"}


@pytest.fixture
def hub(model_files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    """Give a hub that holds ``acme/Tiny-1.0``, with both endpoints pointing to it and no pauses between tries."""
    with running_hub() as hub:
        hub.repos["acme/Tiny-1.0"] = dict(model_files)
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", hub.url + "/")
        monkeypatch.delenv("HF_TOKEN", raising=False)
        monkeypatch.setattr(pulling, "PAUSE", 0.0)
        yield hub


def left_over(root: Path) -> list[str]:
    """Return what lies under ``models`` beside finished models."""
    return sorted(path.name for path in (root / "models").iterdir() if path.name.startswith("."))


@pytest.mark.parametrize("kind", HUBS)
def test_needed_files_arrive_and_the_name_is_known(hub: LoopbackHub, tmp_path: Path, kind: str) -> None:
    """Only what serving needs is fetched, byte for byte; afterwards the name alone names the model, without the hub."""
    said: list[str] = []
    version = pull(tmp_path, f"{kind}:acme/Tiny-1.0", said.append)
    assert version.name == "tiny-1.0"
    folder = Path(version.folder)
    assert folder == tmp_path / "models" / "tiny-1.0"
    given = hub.repos["acme/Tiny-1.0"]
    needed = {"config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"}
    for name in {*needed, "model.safetensors"}:
        assert (folder / name).read_bytes() == given[name]
    assert {path.name for path in folder.iterdir()} == {*needed, "model.safetensors", "feilun.json"}
    assert set(hub.content_asked()) == {*needed, "model.safetensors"}
    assert hub.content_asked()[-1] == "model.safetensors"
    assert any("model.safetensors" in line and "MB" in line for line in said)
    asked = len(hub.asked)
    assert ensure_base(tmp_path, "tiny-1.0") == version
    assert pulled(tmp_path) == ["tiny-1.0"]
    assert len(hub.asked) == asked
    assert left_over(tmp_path) == []


def test_a_name_alone_is_hugging_face(hub: LoopbackHub, tmp_path: Path) -> None:
    """``owner/name@revision`` asks Hugging Face, and takes every file of the commit that the revision stands for."""
    assert pull(tmp_path, "acme/Tiny-1.0@v2", lambda _: None).name == "tiny-1.0"
    assert hub.asked


def test_the_token_is_sent(hub: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token from the environment goes along as a bearer token."""
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    pull(tmp_path, "hf:acme/Tiny-1.0", lambda _: None)
    assert hub.tokens == {"Bearer hf_secret"}


@pytest.mark.parametrize("kind", HUBS)
def test_a_cut_connection_goes_on_where_it_was(hub: LoopbackHub, tmp_path: Path, kind: str) -> None:
    """A file cut off three times arrives whole, each part asked for once."""
    hub.cut["model.safetensors"] = 3
    said: list[str] = []
    version = pull(tmp_path, f"{kind}:acme/Tiny-1.0", said.append)
    given = hub.repos["acme/Tiny-1.0"]["model.safetensors"]
    assert (Path(version.folder) / "model.safetensors").read_bytes() == given
    ranges = [asked for path, asked in hub.asked if path == "model.safetensors"]
    assert len(ranges) == 4
    begins = [int(asked.removeprefix("bytes=").removesuffix("-") or 0) for asked in ranges]
    assert begins == sorted(set(begins))
    assert sum("cut" in line for line in said) == 3


@pytest.mark.parametrize("kind", HUBS)
def test_an_interrupted_pull_is_taken_up_again(hub: LoopbackHub, tmp_path: Path, kind: str) -> None:
    """After too many cuts the pull fails; the next one fetches only what is still missing."""
    hub.cut["model.safetensors"] = pulling.TRIES
    with pytest.raises(EngineError, match="cannot be reached"):
        pull(tmp_path, f"{kind}:acme/Tiny-1.0", lambda _: None)
    assert pulled(tmp_path) == []
    hub.asked.clear()
    version = pull(tmp_path, f"{kind}:acme/Tiny-1.0", lambda _: None)
    assert [path for path, _ in hub.asked] == ["model.safetensors"]
    assert hub.asked[0][1] != ""
    given = hub.repos["acme/Tiny-1.0"]["model.safetensors"]
    assert (Path(version.folder) / "model.safetensors").read_bytes() == given
    assert left_over(tmp_path) == []


@pytest.mark.parametrize("kind", HUBS)
def test_a_wrong_sum_is_refused(hub: LoopbackHub, tmp_path: Path, kind: str) -> None:
    """A file whose SHA-256 is not the listed one is deleted, and no model comes into being."""
    hub.lies.add("model.safetensors")
    with pytest.raises(EngineError, match="SHA-256"):
        pull(tmp_path, f"{kind}:acme/Tiny-1.0", lambda _: None)
    assert list((tmp_path / "models").rglob("*.safetensors")) == []
    assert pulled(tmp_path) == []
    hub.lies.clear()
    assert pull(tmp_path, f"{kind}:acme/Tiny-1.0", lambda _: None).name == "tiny-1.0"


@pytest.mark.parametrize("kind", HUBS)
def test_a_short_file_is_refused(hub: LoopbackHub, tmp_path: Path, kind: str) -> None:
    """A file that ends early, in a whole answer, is refused by its size."""
    hub.short.add("config.json")
    with pytest.raises(EngineError, match=r"config\.json is truncated"):
        pull(tmp_path, f"{kind}:acme/Tiny-1.0", lambda _: None)
    assert pulled(tmp_path) == []


@pytest.mark.parametrize("kind", HUBS)
@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (404, "", NotFound),
        (401, "RepoNotFound", NotFound),
        (401, "", Forbidden),
        (403, "GatedRepo", Forbidden),
        (500, "", EngineError),
    ],
)
def test_refusals_say_what_they_mean(
    hub: LoopbackHub, tmp_path: Path, kind: str, status: int, code: str, expected: type[Exception]
) -> None:
    """A missing, a gated and a broken repository are three different errors."""
    hub.statuses["acme/Tiny-1.0"] = (status, code)
    with pytest.raises(expected) as caught:
        pull(tmp_path, f"{kind}:acme/Tiny-1.0", lambda _: None)
    assert type(caught.value) is expected
    assert "acme/Tiny-1.0" in str(caught.value)


@pytest.mark.parametrize("kind", HUBS)
def test_an_unknown_revision_is_not_found(hub: LoopbackHub, tmp_path: Path, kind: str) -> None:
    """A revision that the repository does not have is named."""
    with pytest.raises(NotFound, match="v9"):
        pull(tmp_path, f"{kind}:acme/Tiny-1.0@v9", lambda _: None)
    assert COMMIT not in str(hub.asked)


@pytest.mark.parametrize("kind", HUBS)
def test_no_network(tmp_path: Path, kind: str) -> None:
    """An endpoint that nobody listens on is named in the error."""
    with running_hub() as hub:
        url = hub.url
    with pytest.raises(EngineError, match=r"127\.0\.0\.1:\d+ cannot be reached"):
        pull(tmp_path, f"{kind}:acme/Tiny-1.0", lambda _: None, url)


@pytest.mark.parametrize("kind", HUBS)
@pytest.mark.parametrize(
    "path", ["../../evil.json", "/etc/evil.json", "a/../../evil", "..\\evil", "model\x00.safetensors"]
)
def test_paths_that_lead_outside_are_refused(hub: LoopbackHub, tmp_path: Path, kind: str, path: str) -> None:
    """A list with such a path is refused as a whole, before anything is fetched."""
    hub.repos["acme/Tiny-1.0"][path] = b"{}"
    with pytest.raises(BadModel, match="outside"):
        pull(tmp_path / "home", f"{kind}:acme/Tiny-1.0", lambda _: None)
    assert hub.asked == []
    assert [path for path in tmp_path.rglob("*") if "evil" in path.name] == []


def test_more_than_the_disk_holds(hub: LoopbackHub, tmp_path: Path) -> None:
    """A model larger than the free space is refused before anything is fetched."""
    hub.sizes["model.safetensors"] = shutil.disk_usage(tmp_path).total * 2
    with pytest.raises(OutOfSpace, match="left"):
        pull(tmp_path, "hf:acme/Tiny-1.0", lambda _: None)
    assert hub.asked == []


def test_an_unsupported_model_is_refused_early(hub: LoopbackHub, tmp_path: Path) -> None:
    """The architecture is looked at before the weights are fetched."""
    hub.repos["acme/Tiny-1.0"]["config.json"] = b'{"model_type": "gpt2"}'
    with pytest.raises(BadModel, match="gpt2"):
        pull(tmp_path, "hf:acme/Tiny-1.0", lambda _: None)
    assert "model.safetensors" not in hub.content_asked()


def test_pickled_weights_are_refused(hub: LoopbackHub, tmp_path: Path) -> None:
    """A repository with pickled weights only is refused: loading them would run their code."""
    del hub.repos["acme/Tiny-1.0"]["model.safetensors"]
    with pytest.raises(BadModel, match="neither safetensors nor a GGUF"):
        pull(tmp_path, "hf:acme/Tiny-1.0", lambda _: None)


def test_of_several_gguf_files_the_best_is_taken(hub: LoopbackHub, tmp_path: Path) -> None:
    """Of several quantisations one is fetched, the finest; one that is no GGUF file is refused after that."""
    hub.repos["acme/Packed-GGUF"] = {f"packed-{kind}.gguf": b"no" for kind in ("Q2_K", "Q4_K_M", "Q8_0")}
    hub.repos["acme/Packed-GGUF"]["packed-F16-00001-of-00002.gguf"] = b"no"
    with pytest.raises(BadModel, match="not a whole GGUF"):
        pull(tmp_path, "ms:acme/Packed-GGUF", lambda _: None)
    assert hub.content_asked() == ["packed-Q8_0.gguf"]
    assert pulled(tmp_path) == []


def test_the_embedded_name_is_not_taken_over(hub: LoopbackHub, tmp_path: Path) -> None:
    """A pulled model of the embedded one's name gets its owner's name too."""
    hub.repos["acme/SmolLM2-135M-Instruct"] = hub.repos["acme/Tiny-1.0"]
    assert pull(tmp_path, "acme/SmolLM2-135M-Instruct", lambda _: None).name == "acme-smollm2-135m-instruct"


def test_two_pulls_at_once(hub: LoopbackHub, tmp_path: Path) -> None:
    """While one process fetches a model, a second one is told so."""
    second: list[Exception] = []

    def say(_: str) -> None:
        if not second:
            with pytest.raises(Busy) as caught:
                pull(tmp_path, "acme/Tiny-1.0", lambda _: None)
            second.append(caught.value)

    pull(tmp_path, "acme/Tiny-1.0", say)
    assert len(second) == 1
    assert len(hub.content_asked()) == len(set(hub.content_asked()))


@pytest.mark.parametrize("what", ["", "tiny", "gs:acme/tiny", "acme/../tiny", "https://hub/acme/tiny", "acme/tiny@"])
def test_malformed_names(tmp_path: Path, what: str) -> None:
    """What is not a name is refused with the forms that are."""
    with pytest.raises(BadRequest, match="names no model"):
        pull(tmp_path, what, lambda _: None)


def test_a_foreign_answer(hub: LoopbackHub, tmp_path: Path) -> None:
    """A server that answers with something else than a list is named."""
    with pytest.raises(EngineError, match="list of files"):
        pull(tmp_path, "ms:acme/Tiny-1.0", lambda _: None, f"{hub.url}/api/models/acme/Tiny-1.0/revision/main?")
    assert pulled(tmp_path) == []
