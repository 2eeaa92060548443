"""``feilun permissions``, ``audit``, ``retrain`` and ``encryption``: what they do, say and end with."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
import sqlalchemy as sa

from feilun.cli import main
from feilun.curation import ingest
from feilun.curation.personal.masking import Reversible
from feilun.records import ModelVersion, Record, Source
from feilun.store import datasets, lineage, models, open_database, sources, workspaces
from feilun.store.access.sealing import derived
from feilun.store.audit.tables import AUDIT

WS = "clinic"


@pytest.fixture(autouse=True)
def _english(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Speak English, away from any settings file."""
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Give a home with two sources, and a model that has learnt one of them."""
    db = open_database(tmp_path / "home")
    workspaces.ensure(db, WS)
    for name in ("fees", "staff"):
        sources.add(db, Source(f"source-{name}", WS, f"{name}.md", "", 0), f"All about {name}.".encode())
    said = ({"role": "user", "content": "What is the fee?"}, {"role": "assistant", "content": "The fee is 4 crowns."})
    data, _ = datasets.write(db, WS, "chat", [Record("record-c", "chat", ("source-fees",), said)], "train")
    models.add(db, ModelVersion("model-a", WS, "own", "adapter", "model-base", "", {}))
    lineage.link(db, WS, [(data.id, "model-a", "trained on")])
    db.close()
    return tmp_path / "home"


def run(home: Path, *arguments: str) -> int:
    """Run a command on a home."""
    return main([*arguments, "--home", str(home)])


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """Return what was printed since last time."""
    return capsys.readouterr().out


def test_permissions_are_set_shown_and_filtered(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a source, of the workspace, and of all sources to which options apply."""
    assert run(home, "permissions", "staff.md", "--basis", "consent", "--until", "2999-06-30") == 0
    assert '"basis": "consent"' in said(capsys)
    assert run(home, "permissions", "--default", "--leave", "yes") == 0
    assert '"leave": true' in said(capsys)
    assert run(home, "permissions", "--basis", "consent") == 0
    listed = said(capsys)
    assert "source-staff" in listed
    assert "source-fees" not in listed
    assert '"leave": true' in listed
    assert run(home, "permissions") == 0
    assert said(capsys).count("source-") == 2
    for wrong in (("--revoke",), ("--default", "fees.md"), ("fees.md", "--until", "soon")):
        assert run(home, "permissions", *wrong) == 2
    assert "hint:" in capsys.readouterr().err


def test_a_revocation_says_what_it_touches(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Models that have learnt it are counted, impact marks them, and they cannot be turned on."""
    assert run(home, "permissions", "fees.md", "--revoke") == 0
    out = said(capsys)
    assert '"train": false, "retrieve": false, "leave": false' in out
    assert "1 models contain revoked data: feilun retrain" in out
    assert run(home, "impact", "fees.md") == 0
    assert said(capsys).count("contains revoked data: the source source-fees does not permit") == 2
    assert run(home, "model", "on", "model-a") == 3
    assert "contains revoked data" in capsys.readouterr().err


def test_an_archive_is_revoked_by_its_name(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All that came out of it is shown and set; a name of nothing says which command lists names."""
    (tmp_path / "letters").mkdir()
    with zipfile.ZipFile(tmp_path / "letters" / "old.zip", "w") as archive:
        archive.writestr("one.txt", "The north quay closes at nine.")
        archive.writestr("two.txt", "The south quay closes at ten.")
    db = open_database(home)
    ingest(db, WS, [tmp_path / "letters"])
    db.close()
    assert run(home, "permissions", "old.zip") == 0
    assert said(capsys).count('"train": true') == 2
    assert run(home, "permissions", "old.zip", "--revoke") == 0
    assert said(capsys).count('"train": false, "retrieve": false') == 2
    assert run(home, "permissions", "new.zip", "--revoke") == 2
    assert "feilun permissions lists what there is" in capsys.readouterr().err


def test_the_log_is_shown_and_verified(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A log that was touched ends the command with 10, and says where; a head that was kept is compared."""
    assert run(home, "permissions", "fees.md", "--train", "no") == 0
    said(capsys)
    assert run(home, "audit", "head") == 0
    head = said(capsys).strip()
    assert run(home, "audit", "verify", "--head", head) == 0
    assert f"Head: {head}" in said(capsys)
    assert run(home, "audit", "list", "--action", "source.permissions", "--json") == 0
    (entry,) = json.loads(said(capsys))
    assert entry["actor"].startswith("cli ")
    assert entry["details"]["said"] == {"train": False}
    assert run(home, "audit", "list") == 0
    assert "source.added  source-fees" in said(capsys)
    db = open_database(home)
    with db.writing() as conn:
        conn.execute(sa.delete(AUDIT).where(AUDIT.c.number == 2))
    db.close()
    assert run(home, "audit", "verify", "--language", "zh") == 10
    assert "缺少第 2 条" in said(capsys)
    assert run(home, "audit", "verify", "--json") == 10
    assert [each["number"] for each in json.loads(said(capsys))["breaks"]] == [2]
    assert run(home, "audit", "verify", "--head", "x") == 2


def test_what_is_encrypted_and_under_new_keys(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A source that is marked, and the table with its rows."""
    assert run(home, "permissions", "fees.md", "--encrypt", "yes") == 0
    assert run(home, "encryption", "status") == 0
    assert "1 of 2 sources are kept encrypted." in said(capsys)
    assert run(home, "encryption", "rotate") == 0
    assert "Sealed 2 files under a new key." in said(capsys)
    db = open_database(home)
    assert sources.content(db, WS, "source-fees", "train") == b"All about fees."
    db.close()
    assert run(home, "audit", "verify") == 0


def test_masking_is_undone_and_kept_in_the_log(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What this workspace's key has masked comes back, for this workspace only; the log says so."""
    masked = tmp_path / "masked.txt"
    masked.write_text(f"Call {Reversible(derived(home, 'pseudonyms', WS))('PHONE', '13800138000')}.\n", "utf-8")
    assert run(home, "unmask", str(masked)) == 0
    assert said(capsys) == "Call 13800138000.\n"
    assert run(home, "unmask", str(masked), "--out", str(tmp_path / "plain.txt")) == 0
    assert (tmp_path / "plain.txt").read_text("utf-8") == "Call 13800138000.\n"
    assert run(home, "unmask", str(masked), "--workspace", "another") == 0
    assert "13800138000" not in said(capsys)
    assert run(home, "unmask", str(tmp_path / "none.txt")) == 2
    assert run(home, "audit", "list", "--action", "masking", "--workspace", WS) == 0
    assert said(capsys).count("masking.undone") == 2


def test_retrain_needs_a_source_that_is_there(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And enough that may still be learnt: nothing is trained, and the revocation stands."""
    assert run(home, "retrain", "--without", "nothing.md") == 2
    assert "nothing.md" in capsys.readouterr().err
    assert run(home, "retrain", "--without", "fees.md") != 0
    assert "hint:" in capsys.readouterr().err
    db = open_database(home)
    assert sources.get(db, WS, "source-fees").permissions.train is False
    db.close()
