"""A hub of models on the loopback: speaks Hugging Face's and ModelScope's interfaces, and fails where it is told to."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

COMMIT = "c0ffee" + "0" * 34


@dataclass
class LoopbackHub:
    """What the hub holds (``owner/name`` to files), how it fails, and what it was asked.

    ``cut`` maps a path to how many of its first answers end after half of what was asked for; ``lies`` are paths whose
    SHA-256 is given wrongly; ``statuses`` maps a repository to an HTTP status and error code for everything about it.
    """

    repos: dict[str, dict[str, bytes]] = field(default_factory=dict)
    cut: dict[str, int] = field(default_factory=dict)
    lies: set[str] = field(default_factory=set)
    short: set[str] = field(default_factory=set)
    statuses: dict[str, tuple[int, str]] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    url: str = ""

    def content_asked(self) -> list[str]:
        """Return the paths whose content was asked for, in order."""
        return [path for path, _ in self.asked]

    def sha256(self, path: str, content: bytes) -> str:
        """Return the sum that the list gives for a file."""
        return hashlib.sha256(content + (b"!" if path in self.lies else b"")).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    hub: LoopbackHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Answer both interfaces."""
        parts = urlsplit(self.path)
        path, query = unquote(parts.path).strip("/").split("/"), parse_qs(parts.query)
        self.hub.tokens.add(self.headers.get("Authorization", ""))
        if path[:2] == ["api", "models"]:
            self._list_hugging_face("/".join(path[2:4]), path[5])
        elif path[:3] == ["api", "v1", "models"] and path[-1] == "files":
            self._list_model_scope("/".join(path[3:5]), query["Revision"][0])
        elif path[:3] == ["api", "v1", "models"]:
            self._content("/".join(path[3:5]), query["FilePath"][0])
        else:
            self._content("/".join(path[:2]), "/".join(path[4:]))

    def _refused(self, repo: str, revision: str) -> bool:
        status, code = self.hub.statuses.get(repo, (200, ""))
        if repo not in self.hub.repos or revision not in {"main", "master", "v2", COMMIT}:
            status, code = 404, "RevisionNotFound"
        if status != 200:
            self._send(status, b'{"error": "refused"}', {"X-Error-Code": code} if code else {})
        return status != 200

    def _list_hugging_face(self, repo: str, revision: str) -> None:
        if self._refused(repo, revision):
            return
        siblings: list[dict[str, Any]] = []
        for path, content in self.hub.repos[repo].items():
            one: dict[str, Any] = {"rfilename": path, "size": self.hub.sizes.get(path, len(content))}
            if path.endswith((".safetensors", ".gguf")):
                one["lfs"] = {"sha256": self.hub.sha256(path, content), "size": len(content), "pointerSize": 134}
            siblings.append(one)
        self._send(200, json.dumps({"id": repo, "sha": COMMIT, "siblings": siblings}).encode())

    def _list_model_scope(self, repo: str, revision: str) -> None:
        if self._refused(repo, revision):
            return
        files: list[dict[str, Any]] = [{"Path": "onnx", "Name": "onnx", "Type": "tree", "Size": 0}]
        for path, content in self.hub.repos[repo].items():
            size = self.hub.sizes.get(path, len(content))
            files.append({"Path": path, "Type": "blob", "Size": size, "Sha256": self.hub.sha256(path, content)})
        self._send(200, json.dumps({"Code": 200, "Data": {"Files": files}, "Success": True}).encode())

    def _content(self, repo: str, path: str) -> None:
        self.hub.asked.append((path, self.headers.get("Range", "")))
        content = self.hub.repos[repo][path]
        if path in self.hub.short:
            content = content[:-7]
        begin = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        rest = content[begin:]
        if self.hub.cut.get(path, 0):
            self.hub.cut[path] -= 1
            self.send_response(206 if begin else 200)
            self.send_header("Content-Length", str(len(rest)))
            self.end_headers()
            self.wfile.write(rest[: len(rest) // 2])
            self.close_connection = True
            return
        self._send(206 if begin else 200, rest)

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def running_hub() -> Iterator[LoopbackHub]:
    """Give a hub that listens on a free loopback port."""
    hub = LoopbackHub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
