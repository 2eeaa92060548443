"""Base models from the hubs: Hugging Face and ModelScope, only the files that are needed, each checked.

It knows two hubs, resuming and sums. It does not know who chooses a model or how one is used.

Endpoints come from ``HF_ENDPOINT`` and ``MODELSCOPE_ENDPOINT``, so mirrors inside an organisation work. What was
fetched of a model stays until all of it is there: an interrupted pull goes on where it stopped.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

import httpx

from feilun.engines.decoder import read_shape
from feilun.engines.models import PACKAGES, Say, ensure_base, model_name, register
from feilun.engines.prompts import Prompter
from feilun.errors import BadModel, BadRequest, Busy, EngineError, Forbidden, NotFound, OutOfSpace
from feilun.records import ModelVersion, content_hash

SMALL = {
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
}
# A GGUF file is converted to bfloat16 anyway, so of several the one that lost least is taken, unless it is huge.
QUANTISATIONS = ("q8_0", "bf16", "f16", "q6_k", "q5_k_m", "q5_0", "q4_k_m", "q4_1", "q4_0")
TRIES, PAUSE = 5, 0.5
_NAME = re.compile(r"(?:(hf|ms):)?([\w.-]+/[\w.-]+)(?:@([\w./-]+))?")
_AGAIN = "Run the same command again: what is already here is kept."


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of a hub: path inside the repository, size in bytes (-1: unknown), SHA-256 (empty: unknown)."""

    path: str
    size: int
    sha256: str


def pull(root: Path, what: str, say: Say = print, endpoint: str = "") -> ModelVersion:
    """Fetch a base model and make it known under ``root/models``; its ``name`` can then be the setting ``model``.

    ``what``: the embedded model's name, ``hf:owner/name[@revision]``, ``ms:owner/name[@revision]`` or ``owner/name``
    (Hugging Face). Raises BadRequest, NotFound, Forbidden, EngineError, BadModel, OutOfSpace or Busy.
    """
    if what in PACKAGES:
        return ensure_base(root, what, say)
    parts = _NAME.fullmatch(what)
    if parts is None:
        raise BadRequest(f"{what!r} names no model.", "Write hf:owner/name, ms:owner/name or owner/name@revision.")
    kind, repo, revision = parts[1] or "hf", parts[2], parts[3] or ""
    hub = (ModelScope if kind == "ms" else HuggingFace)(repo, revision, endpoint)
    name = model_name(repo)
    if name in PACKAGES:  # it stays another model than the embedded one, which adapters may already build upon
        name = model_name(repo.replace("/", "-"))
    scratch = root / "models" / f".pull-{name}-{content_hash([kind, repo, revision])[:12]}"
    with _alone(scratch, name), closing(hub):
        fetched = _fetch(hub, repo, scratch / "files", say)
        version = register(root, name, fetched, say)
    shutil.rmtree(scratch, ignore_errors=True)
    say(f"{name} is ready.")
    return version


@contextmanager
def _alone(scratch: Path, name: str) -> Iterator[None]:
    """Keep a second pull of the same model out; the kernel lets go however this process ends."""
    scratch.mkdir(parents=True, exist_ok=True)
    with (scratch / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Busy(f"Another process is fetching {name}.", "Wait until it has ended.") from error
        yield


def _fetch(hub: Hub, repo: str, folder: Path, say: Say) -> Path:
    """Fetch what is needed, small files first so that a model that cannot be used is refused early."""
    small, large = _needed(hub.files(), repo)
    folder.mkdir(parents=True, exist_ok=True)
    missing = [file for file in (*small, *large) if not _whole(folder / file.path, file)]
    size, free = sum(max(file.size, 0) for file in missing), shutil.disk_usage(folder).free
    if size > free:
        raise OutOfSpace(f"{repo} needs {_megabytes(size)}; {folder} has {_megabytes(free)} left.", "Make room.")
    for group in (small, large):
        for file in group:
            if file in missing:
                say(f"Fetching {file.path} ({_megabytes(file.size)}) …")
                hub.fetch(file, folder, say)
                _check(folder / file.path, file)
        if group is small and (folder / "config.json").is_file() and not large[0].path.endswith(".gguf"):
            read_shape(folder)
            Prompter(folder)
    for part in folder.glob("*.part"):
        part.unlink()
    return folder / large[0].path if large[0].path.endswith(".gguf") else folder


def _needed(files: list[RemoteFile], repo: str) -> tuple[list[RemoteFile], list[RemoteFile]]:
    """Return (small files, weights); raise BadModel where there are none that we can use."""
    for file in files:
        path = PurePosixPath(file.path)
        if path.is_absolute() or ".." in path.parts or "\\" in file.path or "\0" in file.path:
            raise BadModel(f"{repo} holds a file that wants to lie outside: {file.path!r}.", "Do not use this source.")
    weights = [f for f in files if re.fullmatch(r"model[\w.-]*\.safetensors", f.path)]
    small = [f for f in files if f.path in SMALL]
    if weights:
        if {"config.json", "tokenizer.json"} <= {f.path for f in small}:
            return small, weights
        raise BadModel(f"{repo} has no config.json and tokenizer.json beside its weights.", "Choose another source.")
    packed = [f for f in files if re.fullmatch(r"[\w.-]+\.gguf", f.path) and not re.search(r"-of-\d+", f.path)]
    if not packed:
        raise BadModel(f"{repo} holds neither safetensors nor a GGUF file.", "Pickled weights are never loaded.")

    def rank(file: RemoteFile) -> tuple[int, str]:
        lower = file.path.lower()
        return next((i for i, kind in enumerate(QUANTISATIONS) if kind in lower), len(QUANTISATIONS)), lower

    return [], [min(packed, key=rank)]


def _whole(path: Path, file: RemoteFile) -> bool:
    if not path.is_file() or file.size not in {-1, path.stat().st_size}:
        return False
    return not file.sha256 or _sha256(path) == file.sha256


def _check(path: Path, file: RemoteFile) -> None:
    """Raise EngineError, and delete the file, if it is not what the hub says it is."""
    size = path.stat().st_size
    if file.size not in {-1, size}:
        path.unlink()
        raise EngineError(f"{file.path} is truncated: {size} bytes of {file.size}.", _AGAIN)
    if file.sha256 and _sha256(path) != file.sha256:
        path.unlink()
        raise EngineError(f"{file.path} is damaged: its SHA-256 is not the one that the hub gives.", _AGAIN)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _megabytes(size: int) -> str:
    return "size unknown" if size < 0 else f"{size / 1e6:,.1f} MB"


class Hub(ABC):
    """One repository of a hub: where its list is, how the list reads, where a file's content is."""

    default, variable, branch = "", "", ""
    token_variable = ""

    def __init__(self, repo: str, revision: str, endpoint: str = "") -> None:
        """Name the repository; an empty revision is the main branch, an empty endpoint the environment's or default."""
        self.repo, self.revision = repo, revision or self.branch
        self.endpoint = (endpoint or os.environ.get(self.variable) or self.default).rstrip("/")
        token = os.environ.get(self.token_variable, "")
        self._client = httpx.Client(
            headers={"Authorization": f"Bearer {token}"} if token else {},
            timeout=httpx.Timeout(60, connect=15),
            follow_redirects=True,
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    @abstractmethod
    def list_url(self) -> tuple[str, dict[str, str]]:
        """Return address and parameters of the list of files."""

    @abstractmethod
    def read_list(self, body: Any) -> list[RemoteFile]:
        """Return the files that the hub's answer names."""

    @abstractmethod
    def file_url(self, path: str) -> tuple[str, dict[str, str]]:
        """Return address and parameters of a file's content."""

    def files(self) -> list[RemoteFile]:
        """Return the files of the repository."""
        url, parameters = self.list_url()
        try:
            answer = self._client.get(url, params=parameters)
        except httpx.TransportError as error:
            raise self._unreachable(error) from error
        self._admitted(answer)
        try:
            return self.read_list(answer.json())
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise EngineError(f"{self.endpoint} did not answer with a list of files.", "Check the endpoint.") from error

    def fetch(self, file: RemoteFile, folder: Path, say: Say) -> None:
        """Bring one file into ``folder``; a connection that is cut is taken up again where it was cut."""
        part = folder / f"{file.path}.part"
        for attempt in range(TRIES):
            if attempt:
                say(f"The connection was cut; going on with {file.path} …")
                time.sleep(PAUSE * 2 ** (attempt - 1))
            try:
                self._receive(file, part)
                break
            except httpx.TransportError as error:
                cut = error
        else:
            raise self._unreachable(cut) from cut
        part.replace(folder / file.path)

    def _receive(self, file: RemoteFile, part: Path) -> None:
        have = part.stat().st_size if part.is_file() else 0
        if file.size <= have:
            have = 0  # of unknown size, or whole but never given its name: not to be trusted
        url, parameters = self.file_url(file.path)
        headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={have}-"} if have else {})}
        with self._client.stream("GET", url, params=parameters, headers=headers) as answer:
            self._admitted(answer)
            with part.open("ab" if answer.status_code == 206 else "wb") as out:
                for block in answer.iter_bytes():
                    out.write(block)
                out.flush()
                os.fsync(out.fileno())

    def _admitted(self, answer: httpx.Response) -> None:
        """Raise what an HTTP status of a hub means for people."""
        status, reason = answer.status_code, answer.headers.get("X-Error-Code", "")
        if status in {200, 206}:
            return
        if status == 404 or reason == "RepoNotFound":  # Hugging Face answers 401 for what does not exist
            raise NotFound(f"{self.endpoint} has no {self.repo} ({self.revision}).", "Check name and revision.")
        if status in {401, 403}:
            raise Forbidden(
                f"{self.endpoint} does not let you have {self.repo}.",
                f"Accept the model's terms there, and set {self.token_variable}.",
            )
        raise EngineError(f"{self.endpoint} answered {status} for {self.repo}.", f"Try later. {_AGAIN}")

    def _unreachable(self, error: Exception) -> EngineError:
        return EngineError(f"{self.endpoint} cannot be reached: {error}", f"Check the network. {_AGAIN}")


class HuggingFace(Hub):
    """The Hugging Face hub, or a mirror of it."""

    default, variable, branch = "https://huggingface.co", "HF_ENDPOINT", "main"
    token_variable = "HF_TOKEN"

    def list_url(self) -> tuple[str, dict[str, str]]:
        """Return address and parameters of the list of files."""
        return f"{self.endpoint}/api/models/{self.repo}/revision/{quote(self.revision, safe='')}", {"blobs": "true"}

    def read_list(self, body: Any) -> list[RemoteFile]:
        """Return the files, and pin the commit that the revision stands for."""
        self.revision = str(body.get("sha") or self.revision)
        return [
            RemoteFile(str(one["rfilename"]), int(one.get("size", -1)), str((one.get("lfs") or {}).get("sha256", "")))
            for one in body["siblings"]
        ]

    def file_url(self, path: str) -> tuple[str, dict[str, str]]:
        """Return the address of a file's content."""
        return f"{self.endpoint}/{self.repo}/resolve/{quote(self.revision, safe='')}/{quote(path)}", {}


class ModelScope(Hub):
    """The ModelScope hub, or a mirror of it."""

    default, variable, branch = "https://www.modelscope.cn", "MODELSCOPE_ENDPOINT", "master"
    token_variable = "MODELSCOPE_API_TOKEN"

    def list_url(self) -> tuple[str, dict[str, str]]:
        """Return address and parameters of the list of files."""
        parameters = {"Revision": self.revision, "Recursive": "true"}
        return f"{self.endpoint}/api/v1/models/{self.repo}/repo/files", parameters

    def read_list(self, body: Any) -> list[RemoteFile]:
        """Return the files; folders are listed too, and left out."""
        return [
            RemoteFile(str(one["Path"]), int(one.get("Size", -1)), str(one.get("Sha256") or ""))
            for one in body["Data"]["Files"]
            if one.get("Type") != "tree"
        ]

    def file_url(self, path: str) -> tuple[str, dict[str, str]]:
        """Return address and parameters of a file's content."""
        return f"{self.endpoint}/api/v1/models/{self.repo}/repo", {"Revision": self.revision, "FilePath": path}
