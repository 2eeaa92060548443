"""``feilun up`` as a process of its own: the first key, restarts, ``kill -9``, a stop that lets calls end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

BASE = "smollm2-135m-instruct"
Start = Callable[..., tuple["subprocess.Popen[str]", str, str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Give a way to start ``feilun up`` ; it returns the process, its URL and the first key, if it made one."""
    running: list[subprocess.Popen[str]] = []

    def begin(*more: str) -> tuple[subprocess.Popen[str], str, str]:
        command = [Path(sys.executable).with_name("feilun"), "up", "--engine", "fake", "--home", str(tmp_path / "home")]
        environment = {**os.environ, "LANG": "C", "PYTHONUNBUFFERED": "1"}
        process = subprocess.Popen(
            [*command, *(more or ("--port", "0"))],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
        )
        running.append(process)
        assert process.stdout is not None
        first = process.stdout.readline()
        url = re.search(r"http://\S+", first)
        if url is None:
            return process, "", first + process.stdout.read()
        said = ""
        if not list(tmp_path.glob("home/seen")):
            (tmp_path / "home" / "seen").touch()
            said = "".join(process.stdout.readline() for _ in range(7))
        while True:
            try:
                if httpx.get(f"{url[0]}/health").json()["status"] == "ok":
                    break
            except httpx.TransportError:
                assert process.poll() is None
            threading.Event().wait(0.05)
        key = re.search(r"fl-\S+", said)
        return process, url[0], key[0] if key else ""

    yield begin
    for process in running:
        if process.poll() is None:
            process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def ask(url: str, key: str, words: str) -> httpx.Response:
    """Ask one question."""
    body = {"model": BASE, "messages": [{"role": "user", "content": words}]}
    return httpx.post(f"{url}/v1/chat/completions", json=body, headers={"authorization": f"Bearer {key}"}, timeout=60)


def test_the_first_key_is_shown_once_and_works_for_ever(start: Start) -> None:
    """The first start shows a key; the next does not, and takes the same one; a stop is an exit without error."""
    process, url, key = start()
    assert key.startswith("fl-")
    trace = ask(url, key, "hello").json()["id"]
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    process, url, none = start()
    assert none == ""
    found = httpx.get(f"{url}/api/traces/{trace}", headers={"authorization": f"Bearer {key}"}).json()
    assert found["answer"] == "You said: hello"
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0
    assert process.stdout is not None
    assert "fl-" not in process.stdout.read()


def test_a_kill_loses_nothing_that_a_client_saw_complete(start: Start) -> None:
    """Clients ask at once until the process is killed; every answer that arrived has its trace after the restart."""
    process, url, key = start()
    seen: list[str] = []

    def client(number: int) -> None:
        for turn in range(1000):
            try:
                answer = ask(url, key, f"question {number} {turn}")
            except httpx.TransportError:
                return
            seen.append(answer.json()["id"])

    with ThreadPoolExecutor(6) as clients:
        for number in range(6):
            clients.submit(client, number)
        while len(seen) < 30:
            threading.Event().wait(0.01)
        process.kill()
    process.wait()
    _, url, _ = start()
    with httpx.Client(base_url=url, headers={"authorization": f"Bearer {key}"}) as http:
        assert {http.get(f"/api/traces/{trace}").status_code for trace in seen} == {200}


def test_a_taken_port_is_said_in_clear_words(start: Start) -> None:
    """The second one exits with the code of its error and says what to do."""
    _, url, _ = start()
    process, _, said = start("--port", url.rpartition(":")[2])
    assert process.wait(30) == 8
    assert "Another program listens" in said
    assert "--port" in said
    assert "Traceback" not in said


def test_a_home_has_one_gateway(start: Start) -> None:
    """A second gateway of a home waits for the first to end, since budgets are counted in one; then it serves."""
    first, url, key = start()
    command = [*first.args[:-1], "0"] if isinstance(first.args, list) else []
    environment = {**os.environ, "LANG": "C", "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as other:
        try:
            assert other.stdout is not None
            said = other.stdout.readline()
            assert f"process {first.pid}" in said
            assert ask(url, key, "hello").status_code == 200
            first.send_signal(signal.SIGTERM)
            assert first.wait(30) == 0
            assert "http://" in other.stdout.readline()
        finally:
            other.kill()
