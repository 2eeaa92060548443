"""What nobody may read: keys of providers, keys of callers, prompts and answers, wherever calls fail, at any level."""

from __future__ import annotations

import json
import logging
import socketserver
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from feilun.settings import Settings, load

BASE = "smollm2-135m-instruct"
CLOUD_KEY = "sk-cloudsecret-abcdefghijklmnop-4711"
PROMPT = "the vault opens at noon"
ANSWER = "xylophone quartz jukebox"
FAILS = ("400", "401", "404", "429", "500", "503", "garbage", "cut", "event", "cutstream", "whole")


class Telltale(socketserver.StreamRequestHandler):
    """A provider that repeats, in whatever it answers, the key and the prompt that it was sent."""

    def handle(self) -> None:
        """Answer one request, as its model's name says."""
        head = b""
        while line := self.rfile.readline().strip():
            head += line + b"\n"
        length = next(int(each[15:]) for each in head.lower().split(b"\n") if each.startswith(b"content-length:"))
        body = json.loads(self.rfile.read(length))
        key = next(each for each in head.split(b"\n") if each.lower().startswith(b"authorization:")).decode()
        self.wfile.write(_told(body, f"No: {key}; you said {json.dumps(body['messages'])}"))


def _told(body: dict[str, Any], text: str) -> bytes:
    kind = body["model"]
    error = {"error": {"message": text, "type": "x", "code": "y"}}
    status = int(kind) if kind.isdigit() else 200
    said = {"choices": [{"index": 0, "message": {"content": ANSWER}, "finish_reason": "stop"}], "usage": {}}
    piece = {"choices": [{"index": 0, "delta": {"content": ANSWER}, "finish_reason": None}]}
    event = b"data: " + json.dumps(piece).encode() + b"\n\n"
    whole = {
        "garbage": text.encode(),
        "event": event + b"data: " + json.dumps(error).encode() + b"\n\n",
        "cutstream": event + b"data: {" + text.encode() + b"\n\n",
        "whole": json.dumps(said).encode(),
    }.get(kind, json.dumps(error).encode())
    length = len(whole) + (100 if kind == "cut" else 0)
    return f"HTTP/1.1 {status} x\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n".encode() + whole


@pytest.fixture
def telltale() -> Iterator[int]:
    """Give the port of such a provider."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Telltale) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join(10)


@pytest.fixture
def settings(tmp_path: Any) -> Settings:
    """Give settings that permit a provider on this machine."""
    given = {"home": str(tmp_path / "home"), "engine": "fake", "private_hosts": "127.0.0.1"}
    return load(environment={}, given=given)


def failing(http: httpx.Client, secret: str) -> list[str]:
    """Call in many ways that fail; return what was answered."""
    said = []
    chat = {"messages": [{"role": "user", "content": PROMPT}]}
    for kind in FAILS:
        target = {"model": kind, "provider": "cloud"}
        assert http.put(f"/api/endpoints/to-{kind}", json={"targets": [target], "retries": 1}).status_code == 200
        for stream in (False, True):
            answer = http.post("/v1/chat/completions", json={**chat, "model": f"to-{kind}", "stream": stream})
            assert answer.status_code < 600
            said.append(answer.text)
        wanted = {**chat, "model": f"to-{kind}", "max_tokens": 9}
        answer = http.post("/v1/messages", json=wanted, headers={"x-api-key": secret})
        said.append(answer.text)
    wrong = (chat, {**chat, "model": 5}, {**chat, "model": "none"}, {**chat, "model": BASE, "temperature": PROMPT})
    said += [http.post("/v1/chat/completions", json=body).text for body in wrong]
    bad = json.dumps({**chat, "model": BASE})[:-1].encode()
    said += [http.post("/v1/chat/completions", content=data).text for data in (bad, bad + b"\xff}", b"[" * 5000)]
    for path in ("/v1/chat/completions", "/v1/files", "/api/traces", "/api/keys"):
        for header in (f"Bearer x{secret}", f"Basic {secret}", secret):
            said.append(http.post(path, json=chat, headers={"authorization": header}).text)
    said.append(http.put("/api/providers/cloud", json={"url": "http://127.0.0.1", "key": f"{CLOUD_KEY} x"}).text)
    said.append(http.put("/api/providers/cloud", json={"url": f"http://{CLOUD_KEY}@a", "key": CLOUD_KEY}).text)
    return said


def test_nothing_secret_is_written_down_or_told(gateway: Any, telltale: int, caplog: pytest.LogCaptureFixture) -> None:
    """Not in the log at its most talkative, not in errors, not in /api, and keys nowhere on disk."""
    caplog.set_level(logging.DEBUG)
    secret = gateway.key()
    http = gateway.http(secret)
    url = f"http://127.0.0.1:{telltale}/v1"
    assert http.put("/api/providers/cloud", json={"url": url, "key": CLOUD_KEY}).status_code == 200
    said = failing(http, secret)
    good = http.post("/v1/chat/completions", json={"model": BASE, "messages": [{"role": "user", "content": PROMPT}]})
    assert good.status_code == 200
    gateway.flush()
    lists = ("keys", "providers", "endpoints", "members", "limits", "usage", "deployments", "sources")
    said += [http.get(f"/api/{path}").text for path in lists] + [http.get("/metrics").text]
    leaks = [(text, word) for text in said for word in (CLOUD_KEY, secret) if word in text]
    assert leaks == []
    # The client of this test writes into the same log.
    lines = [
        logging.Formatter().format(each) for each in caplog.records if not each.name.startswith(("httpx", "httpcore"))
    ]
    assert len(lines) > 10
    assert [(line, word) for line in lines for word in (CLOUD_KEY, secret, PROMPT, ANSWER) if word in line] == []
    for path in gateway.settings.root.rglob("*"):
        data = path.read_bytes() if path.is_file() else b""
        assert CLOUD_KEY.encode() not in data, path
        assert secret.encode() not in data, path
