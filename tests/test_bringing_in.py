"""The commands that bring data in and have a model make more of it: files, a table, a site; grounded rows."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from feilun.cli import main
from feilun.curation.synthetic import Scripted
from feilun.store import datasets, open_database, sources

PAGE = b"""<html><head><title>Hours</title></head><body><h1>Opening hours</h1>
<p>The harbour office opens at 7 on weekdays and at 9 on Saturdays. Berths cost 12 crowns a night in summer.</p>
<p>Boats longer than 20 metres must call the office a day before. Water is free of charge at every berth.</p>
</body></html>"""


class Handler(BaseHTTPRequestHandler):
    """A page for GET; for POST what a scripted model says, as a chat completion."""

    model = Scripted()
    keys: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        """Answer with the page; there is no robots.txt."""
        found = self.path == "/hours.html"
        self._answer(200 if found else 404, PAGE if found else b"", "text/html")

    def do_POST(self) -> None:
        """Answer a chat."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.keys.append(f"{self.headers['Authorization']} {self.headers['x-feilun-leave']}")
        said = asyncio.run(self.model(body["messages"], body["max_tokens"]))
        answer = {"choices": [{"message": {"role": "assistant", "content": said}}]}
        self._answer(200, json.dumps(answer).encode(), "application/json")

    def _answer(self, status: int, body: bytes, media: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def server() -> Iterator[str]:
    """Give the address of a server on loopback."""
    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listening.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.server_address[1]}"
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a home; speak English, away from any settings file."""
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


def test_everything_is_brought_in(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder, a table and a page become sources; what the options forbid is forbidden; mistakes end with code 2."""
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "note.txt").write_text("The ferry leaves at noon from the north pier.", encoding="utf-8")
    with sqlite3.connect(tmp_path / "shop.db") as shop:
        shop.execute("CREATE TABLE prices (item TEXT, price INT)")
        shop.execute("INSERT INTO prices VALUES ('rope', 4)")
    shop.close()
    table = f"sqlite:///{tmp_path / 'shop.db'}"
    with server() as url:
        given = ["import", str(tmp_path / "files"), table, f"{url}/hours.html", "--train", "no"]
        assert main([*given, "--home", str(home), "--table", "prices"]) == 0
        assert main([*given, "--home", str(home), "--table", "nosuch"]) == 2
    assert "1 files added" in capsys.readouterr().out
    db = open_database(home)
    found = {source.name: source.permissions.train for source in sources.find(db, "default")}
    db.close()
    assert len(found) == 3
    assert found["note.txt"] is True
    assert sorted(found.values()) == [False, False, True]


def test_rows_are_made_from_passages(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A model on loopback writes grounded rows, with the key from the environment; without passages it is told."""
    monkeypatch.setenv("HARBOUR_KEY", "fl-secret")
    Handler.keys.clear()
    ask = ["synthesise", "--model", "scripted", "--key-from", "HARBOUR_KEY", "--home", str(home), "--share", "0.9"]
    assert main(ask) == 2
    (tmp_path / "hours.html").write_bytes(PAGE)
    assert main(["curate", str(tmp_path / "hours.html"), "--recipe", "knowledge", "--home", str(home)]) == 0
    with server() as url:
        assert main([*ask, "--url", f"{url}/v1"]) == 0
    assert main([*ask, "--url", "no address"]) == 2
    assert "Dataset" in capsys.readouterr().out
    db = open_database(home)
    version = datasets.latest(db, "default", "synthetic")
    made = datasets.read(db, "default", version.id, "train")
    db.close()
    assert made
    assert all(record.meta["synthetic"] and record.meta["cited"] for record in made)
    assert set(Handler.keys) == {"Bearer fl-secret no"}
