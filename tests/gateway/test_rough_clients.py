"""Clients that mean harm, or know no better, against a whole gateway: a clear answer, and no harm done."""

from __future__ import annotations

import itertools
import json
import logging
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx
import pytest

BASE = "smollm2-135m-instruct"
HI = [{"role": "user", "content": "hello"}]
CHAT = {"model": BASE, "messages": HI}
ANSWERS = range(200, 500)


@pytest.fixture
def http(gateway: Any) -> httpx.Client:
    """Give a client with a key."""
    return gateway.http(gateway.key())


@pytest.fixture(autouse=True)
def nothing_unexpected(http: httpx.Client, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Afterwards the gateway still answers, and its log has no error."""
    caplog.set_level(logging.WARNING)
    yield
    assert http.get("/health").status_code == 200
    assert http.post("/v1/chat/completions", json=CHAT).status_code == 200
    assert [each.getMessage() for each in caplog.records if each.levelno >= logging.ERROR or each.exc_info] == []


class Raw:
    """A connection that sends what it likes."""

    def __init__(self, gateway: Any, key: str = "") -> None:
        """Connect, with a key."""
        host, _, port = gateway.url.removeprefix("http://").partition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=60)
        self.key = key or gateway.key()

    def __enter__(self) -> Raw:
        """Give itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Hang up."""
        self.socket.close()

    def head(self, *more: str, path: str = "/v1/chat/completions", method: str = "POST") -> bytes:
        """Return the head of a request."""
        lines = [f"{method} {path} HTTP/1.1", "Host: x", f"Authorization: Bearer {self.key}", *more, "", ""]
        return "\r\n".join(lines).encode()

    def post(self, body: bytes, *more: str, path: str = "/v1/chat/completions") -> bytes:
        """Return a whole request."""
        return self.head(f"Content-Length: {len(body)}", *more, path=path) + body

    def all(self) -> bytes:
        """Read until the other side closes."""
        found = b""
        while data := self.socket.recv(65536):
            found += data
        return found

    def until(self, count: int) -> bytes:
        """Read until so many answers have begun."""
        found = b""
        while found.count(b"HTTP/1.1 ") < count or b"\r\n\r\n" not in found.rpartition(b"HTTP/1.1 ")[2]:
            data = self.socket.recv(65536)
            if not data:
                break
            found += data
        return found


def status(answer: bytes) -> int:
    """Return the status of the first answer."""
    return int(answer[9:12])


def post(http: httpx.Client, body: Any, path: str = "/v1/chat/completions") -> httpx.Response:
    """Post an object, or bytes that may be none; the answer is an error in the shape of OpenAI, or a good one."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"content-type": "application/json"}
    answer = http.post(path, content=data, headers=headers)
    assert answer.status_code in ANSWERS, answer.text
    if answer.status_code >= 400:
        assert answer.json()["error"]["message"]
    return answer


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/evals", "/api/feedback"])
def test_a_hundred_megabytes(gateway: Any, path: str) -> None:
    """Declared: 413 before they are sent. In chunks that declare nothing: 413 when it is too much."""
    with Raw(gateway) as raw:
        raw.socket.sendall(raw.head("Content-Length: 104857600", path=path))
        assert status(raw.until(1)) == 413
    with Raw(gateway) as raw:
        raw.socket.sendall(raw.head("Transfer-Encoding: chunked", path=path))
        piece = b"100000\r\n" + b" " * (1 << 20) + b"\r\n"
        with suppress(OSError):  # it may hang up, after its answer
            for _ in range(100):
                raw.socket.sendall(piece)
        assert status(raw.until(1)) == 413


def test_pipelined_calls_are_answered_in_order(gateway: Any) -> None:
    """Also when the first takes longer than the second, and one in the middle is wrong."""
    with Raw(gateway) as raw:
        good = json.dumps(CHAT).encode()
        get = raw.head("Content-Length: 0", path="/health", method="GET")
        raw.socket.sendall(raw.post(good) + get + raw.post(b"{") + raw.post(good))
        answers = raw.until(4).split(b"HTTP/1.1 ")[1:]
        assert [each[:3] for each in answers] == [b"200", b"200", b"400", b"200"]


def test_chunked_bodies_are_bodies(gateway: Any) -> None:
    """In single bytes, with extensions and trailers."""
    body = json.dumps(CHAT).encode()
    with Raw(gateway) as raw:
        pieces = b"".join(b"1;x=y\r\n%c\r\n" % each for each in body)
        raw.socket.sendall(raw.head("Transfer-Encoding: chunked", "Trailer: X-A") + pieces + b"0\r\nX-A: b\r\n\r\n")
        assert status(raw.until(1)) == 200


def test_a_client_that_closes_its_half_still_gets_its_answer(gateway: Any) -> None:
    """Whole and streamed, then the connection ends."""
    for stream in (False, True):
        with Raw(gateway) as raw:
            raw.socket.sendall(raw.post(json.dumps({**CHAT, "stream": stream}).encode()))
            raw.socket.shutdown(socket.SHUT_WR)
            answer = raw.all()
            assert status(answer) == 200
            assert (b"[DONE]" in answer) is stream


def test_clients_that_stop_in_the_middle(gateway: Any) -> None:
    """Half a head, half a body, a body that is shorter than it said, and a reset: no harm to anybody."""
    for data, closes in ((b"POST /v1/ch", True), (b"", True), (None, True), (None, False)):
        with Raw(gateway) as raw:
            half = raw.head("Content-Length: 500") + b'{"model": ' if data is None else data
            raw.socket.sendall(half)
            if closes:
                raw.socket.shutdown(socket.SHUT_WR)
                assert raw.all()[:12] in {b"", b"HTTP/1.1 400"}
            else:
                raw.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def test_slow_clients_keep_nobody_waiting(gateway: Any, http: httpx.Client) -> None:
    """While many connections have sent a part of a request, others are answered."""
    key = gateway.key()
    slow = [Raw(gateway, key) for _ in range(50)]
    try:
        for number, raw in enumerate(slow):
            raw.socket.sendall(raw.head("Content-Length: 500")[: 20 + number * 3])
        assert post(http, CHAT).status_code == 200
    finally:
        for raw in slow:
            raw.socket.close()


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([f"X-{n}: y" for n in range(5000)], 431),
        (["X: " + "y" * 100_000], 431),
        (["Content-Length: 5", "Transfer-Encoding: chunked"], 400),
        (["Content-Length: 5", "Content-Length: 6"], 400),
        (["Content-Length: -5"], 400),
    ],
)
def test_floods_and_smuggled_headers(gateway: Any, lines: list[str], expected: int) -> None:
    """Refused, once, and the connection ends."""
    with Raw(gateway) as raw:
        raw.socket.sendall(raw.head(*lines))
        assert status(raw.until(1)) == expected


NUMBERS = ("temperature", "top_p", "max_tokens", "n", "presence_penalty", "frequency_penalty", "top_logprobs", "seed")


def test_numbers_that_are_none(http: httpx.Client) -> None:
    """NaN, infinite, negative, huge, texts and lists: the client's error or an answer, never our failure."""
    values = ("NaN", "Infinity", "-Infinity", "-1", "-0.5", "1e308", "9" * 400, '"5"', "[]", "{}", "true", "1e400")
    for name, value in itertools.product(NUMBERS, values):
        answer = post(http, json.dumps(CHAT)[:-1].encode() + f', "{name}": {value}}}'.encode())
        if value in {"NaN", "Infinity", "-Infinity", "[]", "{}"}:
            assert answer.status_code == 400, (name, value)


def function(number: int) -> dict[str, Any]:
    """Return a tool."""
    parameters = {"type": "object", "properties": {"a": {"type": "string"}}}
    return {"type": "function", "function": {"name": f"f{number}", "parameters": parameters}}


def deep(depth: int, inner: Any = None) -> Any:
    """Return a schema that nests."""
    for _ in range(depth):
        inner = {"type": "object", "properties": {"a": inner or {"type": "string"}}}
    return inner


SCHEMAS: dict[str, Any] = {
    "recursive": {"$ref": "#/$defs/a", "$defs": {"a": {"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}}}},
    "only itself": {"$ref": "#"},
    "in a circle": {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
    "elsewhere": {"$ref": "http://169.254.169.254/schema.json"},
    "a file": {"$ref": "file:///etc/passwd"},
    "deep": deep(90),
    "wide": {"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(20_000)}},
    "many": {"enum": [f"value {n}" for n in range(50_000)]},
    "explosive": {"type": "string", "pattern": "(a|aa)+(b|bb)+" * 50 + "$"},
    "repeated": {"type": "array", "items": {"type": "string", "minLength": 10**9}, "minItems": 10**9},
    "alternatives": {"anyOf": [{"anyOf": [{"const": f"{a}{b}"} for a in range(60)]} for b in range(60)]},
}


NO_SCHEMAS = ({"type": 5}, {"properties": "x"}, {"format": []}, {"required": [[]]}, {"minimum": "x", "type": "number"})


def test_schemas_that_are_none(http: httpx.Client) -> None:
    """Keywords of the wrong type: the error says which."""
    for wrong in (*NO_SCHEMAS, {"allOf": 5, "format": "time"}, {"maxLength": "x", "format": "email"}):
        shape = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"} | wrong}}
        answer = post(http, {**CHAT, "response_format": shape})
        assert answer.status_code == 400, wrong
        assert next(iter(wrong)) in answer.json()["error"]["message"]


@pytest.mark.parametrize("name", SCHEMAS)
def test_schemas_that_ask_too_much(http: httpx.Client, name: str) -> None:
    """As the format of an answer, and as a tool that has to be called."""
    shape = {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": SCHEMAS[name]}}
    post(http, {**CHAT, "response_format": shape, "max_tokens": 4})
    tool = {"type": "function", "function": {"name": "f", "parameters": SCHEMAS[name]}}
    post(http, {**CHAT, "tools": [tool], "tool_choice": "required", "max_tokens": 4})


def test_ten_thousand_tools(http: httpx.Client) -> None:
    """In each API that takes tools."""
    tools = [function(number) for number in range(10_000)]
    post(http, {**CHAT, "tools": tools})
    ours = [{"type": "function", "name": f"f{n}", "parameters": {}} for n in range(10_000)]
    assert post(http, {"model": BASE, "input": "hello", "tools": ours}, "/v1/responses").status_code == 400
    theirs = [{"name": f"f{n}", "input_schema": {"type": "object"}} for n in range(10_000)]
    post(http, {**CHAT, "max_tokens": 4, "tools": theirs}, "/v1/messages")


PATHS = ("/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1/embeddings", "/v1/evals", "/api/endpoints/x")
BODIES: dict[str, bytes] = {
    "deep lists": b"[" * 100_000 + b"]" * 100_000,
    "deep objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "deep in a message": b'{"model": "x", "messages": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    "deep in what we do not know": b'{"model": "x", "input": "x", "metadata": ' + b'{"a":' * 900 + b"1" + b"}" * 901,
    "invalid UTF-8": b'{"model": "\xff\xfe", "messages": []}',
    "a lone surrogate": b'{"model": "\\ud800", "messages": [{"role": "user", "content": "\\udfff"}]}',
    "UTF-16": '{"model": "x"}'.encode("utf-16"),
    "zero bytes": b'{"model": "a\\u0000b", "messages": [{"role": "user", "content": "\\u0000"}]}',
    "a name twice": b'{"model": "a", "model": 5, "messages": 1, "messages": []}',
    "a BOM": b"\xef\xbb\xbf{}",
    "a huge number": b'{"model": ' + b"9" * 100_000 + b"}",
    "many names": b"{" + b",".join(b'"a%d":1' % n for n in range(100_000)) + b"}",
}


def test_bodies_that_are_no_request(http: httpx.Client) -> None:
    """The client's error on every kind of path."""
    headers = {"content-type": "application/json"}
    for path, name in itertools.product(PATHS, BODIES):
        method = "PUT" if path.startswith("/api") else "POST"
        answer = http.request(method, path, content=BODIES[name], headers=headers)
        assert answer.status_code in range(400, 500), (path, name, answer.text[:300])
        assert answer.json()["error"]["message"]
