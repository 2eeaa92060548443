"""The gateway's bench can be believed: its load generator counts right, notices bad answers; its table judges."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from bench.gateway.table import Figure, show
from bench.ratios import report, row

C = Path(__file__).parent.parent / "bench" / "gateway"
CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
needs_cc = pytest.mark.skipif(shutil.which("cc") is None, reason="the bench's programs are compiled with cc")


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compile the bench's programs; a warning is an error."""
    folder = tmp_path_factory.mktemp("bench")
    for name in ("upstream", "load"):
        command = ["cc", "-O1", "-Wall", "-Wextra", "-Werror", "-o", str(folder / name), str(C / f"{name}.c"), "-lm"]
        subprocess.run(command, check=True)
    return folder


def _port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _load(programs: Path, port: int, connections: int, events: int, **body: object) -> dict[str, float]:
    """Send one request a connection; return what the load generator told, with its second line."""
    sent = json.dumps({"messages": [], **body}).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(sent)
    (programs / "requests").write_bytes(head + sent + b"\0")
    given = (port, 0, connections, 0, 0, 0, events, programs / "requests")
    argv = [str(programs / "load"), *map(str, given)]
    start, told, end = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()
    assert start == "start"
    found: dict[str, float] = {**json.loads(told), **json.loads(end)}
    return found


@pytest.fixture
def upstream(programs: Path) -> Iterator[int]:
    """Run the upstream; the value is its port."""
    port = _port()
    process = subprocess.Popen([str(programs / "upstream"), str(port), "0"], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield port
    finally:
        process.kill()
        process.communicate()


@needs_cc
@pytest.mark.parametrize("pace", [0, 200])
def test_every_chunk_is_counted(programs: Path, upstream: int, pace: int) -> None:
    """Streams have their tokens, a finish, a usage and an end; in bursts and paced; tokens are those of the usage."""
    told = _load(programs, upstream, 16, 43, stream=True, max_tokens=40, seed=pace)
    assert (told["calls"], told["events"], told["tokens"], told["failed"]) == (16, 16 * 43, 16 * 40, 0)


@needs_cc
def test_answers_are_counted(programs: Path, upstream: int) -> None:
    """Answers without a stream have no events, and the tokens of their usage."""
    told = _load(programs, upstream, 8, 0, max_tokens=3)
    assert (told["calls"], told["events"], told["tokens"], told["failed"]) == (8, 0, 8 * 5, 0)


@needs_cc
def test_a_stream_of_the_wrong_length_fails(programs: Path, upstream: int) -> None:
    """A chunk less than there should be is a failure."""
    assert _load(programs, upstream, 1, 44, stream=True, max_tokens=40, seed=0)["failed"] == 1


@needs_cc
@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 500 Oops\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\noops",
        CHUNKED + b"a\r\ndata: {}\n\n\r\n0\r\n\r\n",
        CHUNKED + b"e\r\ndata: [DONE]\n\n\r\n",
    ],
    ids=["status", "cut short", "not JSON", "without [DONE]", "without its last chunk"],
)
def test_bad_answers_are_noticed(programs: Path, answer: bytes) -> None:
    """An answer that is an error, not whole or without its end counts as failed."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        told = _load(programs, server.getsockname()[1], 1, 0, stream=True)
        thread.join()
    assert (told["calls"], told["failed"]) == (0, 1)


def test_figures_are_judged_by_their_median() -> None:
    """Lower and upper bounds hold for the median; the spread is kept; what was not measured is not met."""
    more, less = Figure("more", 0.5, 1.0), Figure("less", 3.0, 1.0, less=True)
    assert more.row([0.4, 0.6, 9.0])["met"]
    assert not more.row([0.4, 0.4, 9.0])["met"]
    assert more.row([0.4, 0.6, 9.0])["spread"] == [0.4, 9.0]
    assert less.row([3.0])["met"]
    assert not less.row([3.1])["met"]
    missing = more.row([], "it is not there")
    assert not missing["met"]
    table = show([more.row([0.4]), missing])
    assert "NOT MET" in table
    assert "not measured: it is not there" in table


def test_rows_of_single_values_are_judged_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On the right side of its bound a row is met, without a bound always; people and programs see the same."""
    rows = [row("slow", 0.5, 0.7, 0.9), row("small", 0.5, 0.7, 0.3, less=True), row("told", 3.0)]
    assert [one["met"] for one in rows] == [False, True, True]
    report(tmp_path / "out.json", rows)
    assert json.loads((tmp_path / "out.json").read_text())["rows"] == rows
    lines = capsys.readouterr().out.splitlines()
    assert [line.endswith("NOT MET") for line in lines] == [True, False, False]
    assert "must <= 0.7, reach <= 0.3" in lines[1]
