"""Exporting a version: looked up, permitted, written beside its place, and there only when it is whole.

This module knows versions, permissions and the order of writes. It does not know what any form holds.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from feilun.compute import disk_errors, ensure_space
from feilun.engines.models import model_name
from feilun.errors import BadModel, BadRequest, Conflict
from feilun.records import JSON, ModelVersion
from feilun.store import audit, models
from feilun.store.access import revoked
from feilun.store.database import Database
from feilun.training.export.card import licence, write_card
from feilun.training.export.gguf_file import TYPES, write_gguf
from feilun.training.export.merged import DTYPES, merge

FORMS = ("adapter", "merged", "gguf")
DEFAULTS = {"adapter": "", "merged": "f32", "gguf": "q8_0"}
_ADAPTER = ("adapter_model.safetensors", "adapter_config.json", "chat_template.jinja")
_BESIDE = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written: the folder, its files with their sizes (bytes), and the facts of its card."""

    folder: Path
    form: str
    kind: str
    files: dict[str, int] = field(default_factory=dict)
    facts: JSON = field(default_factory=dict)


def export_model(db: Database, ws: str, model: str, form: str, out: Path, kind: str = "") -> Exported:
    """Write a version into the new folder ``out`` as ``form`` (of :data:`FORMS`), with its card.

    ``kind`` is how weights are kept: ``f32``, ``bf16`` or ``f16`` merged, a key of ``TYPES`` as GGUF (``q8_0``). Raises
    BadRequest, NotFound, Forbidden for a model that has learnt what was revoked since, Conflict if ``out`` is there,
    BadModel, OutOfSpace; after an error nothing is left.
    """
    kind = checked(form, kind)
    version = models.get(db, ws, model)
    revoked.check(db, ws, version.id)
    base = models.get(db, ws, version.base) if version.base else version
    if version.kind == "base" and form == "adapter":
        raise BadModel(f"{version.name} has no adapter: it is whole.", "Export it as merged or gguf.")
    needed = base if version.kind == "adapter" else version
    if not needed.folder or not Path(needed.folder).is_dir():
        raise BadModel(f"The base {needed.name} is gone from this machine.", "Fetch it again: feilun pull NAME.")
    whole = out.absolute()
    part = whole.with_name(f".{whole.name[:40]}.part-{os.getpid()}")
    _begin(whole, part)
    try:
        with disk_errors():
            ensure_space(whole.parent, _bytes(version, base, form, kind), "The export", "name another folder")
            _write(version, base, form, kind, part)
            facts = write_card(db, ws, version, base, form if form != "gguf" else f"gguf ({kind})", part)
            if whole.is_dir():
                whole.rmdir()
            part.replace(whole)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    audit.note(db, ws, "", "model.exported", version.id, {"form": form, "kind": kind})
    files = {file.name: file.stat().st_size for file in sorted(whole.iterdir())}
    return Exported(whole, form, kind, files, facts)


def _begin(whole: Path, part: Path) -> None:
    """Make the folder ``part``, which becomes ``whole``; raise Conflict, or BadRequest for a place that cannot be."""
    try:
        if whole.exists() and (not whole.is_dir() or any(whole.iterdir())):
            raise Conflict(f"There is something at {whole}.", "Name a folder that is not there yet.")
        with disk_errors():
            whole.parent.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(part, ignore_errors=True)
            if not whole.exists():  # a name that is too long shows now, not after an hour of writing
                whole.mkdir()
                whole.rmdir()
            part.mkdir()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise BadRequest(
            f"The folder {str(whole)[:200]} cannot be written: {reason}.", "Name another folder with --out.", "out"
        ) from error


def checked(form: str, kind: str) -> str:
    """Return how weights are kept, the form's own where nobody says; raise BadRequest."""
    if form not in FORMS:
        raise BadRequest(f"A model is not exported as {form[:40]!r}.", f"Choices: {', '.join(FORMS)}.", "as")
    kinds = {"adapter": (), "merged": tuple(DTYPES), "gguf": tuple(TYPES)}[form]
    if kind and kind not in kinds:
        said = f"Choices: {', '.join(kinds)}." if kinds else "An adapter is kept as it was trained."
        raise BadRequest(f"{form} has no weights of the kind {kind[:40]!r}.", said, "quantise")
    return kind or DEFAULTS[form]


def _write(version: ModelVersion, base: ModelVersion, form: str, kind: str, part: Path) -> None:
    adapter = Path(version.folder) if version.kind == "adapter" else None
    home = Path(base.folder if adapter else version.folder)
    if form == "adapter" and adapter is not None:
        for name in _ADAPTER:
            shutil.copyfile(adapter / name, part / name)
        for name in _BESIDE:
            if (home / name).is_file():
                shutil.copyfile(home / name, part / name)
    elif form == "merged":
        merge(home, adapter, part, DTYPES[kind])
    else:
        merge(home, adapter, part / "merged")
        facts = {"license": licence(base), "description": f"{version.id} on {base.name}, exported by Feilun"}
        name = f"{model_name(version.name)}-{kind}.gguf"
        write_gguf(part / "merged", part / name, kind, version.name, facts)
        shutil.rmtree(part / "merged")


def _bytes(version: ModelVersion, base: ModelVersion, form: str, kind: str) -> int:
    """Return how much room an export needs while it is made."""
    files = [*Path(base.folder).glob("model*.safetensors"), *Path(version.folder or base.folder).glob("*.safetensors")]
    size = sum(file.stat().st_size for file in set(files))
    if form == "adapter":
        return 64 << 20
    return size * (2 if kind == "f32" else 1) + (2 * size if form == "gguf" else 0)
