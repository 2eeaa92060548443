"""The children's side of confined reading: each limits itself, then reads one file after another.

This module knows the limits of the operating system and which readers there are. It does not know who asks, or what
becomes of the answers. Run as a process of its own (``python -m feilun.curation.readers.confined.children``), it loads
every reader and forks the children.
"""

from __future__ import annotations

import gc
import os
import resource
import select
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from feilun.compute.child import die_with_parent
from feilun.curation.documents import Skip, Unreadable
from feilun.curation.ingest import digests
from feilun.curation.readers.archives import members
from feilun.curation.readers.confined.nursery import END, MESSAGE
from feilun.curation.readers.confined.pool import Answer, Budget, Request
from feilun.curation.scan import parse

_PAGE = resource.getpagesize()
_GROWN = 256 << 20
_TEMPORARY_FILE = 1 << 30
_requests = msgspec.msgpack.Decoder(Request)


def confine(memory: int) -> int:
    """Allow this process ``memory`` bytes beyond what it has, no core files, no huge files; return what it has."""
    has = resident(0)
    if has:
        _limit(resource.RLIMIT_AS, has + memory)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, _TEMPORARY_FILE)
    return resident(1)


def resident(column: int) -> int:
    """Return this process's address space (column 0) or resident memory (1) in bytes; 0 where Linux does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[column]) * _PAGE
    except OSError:
        return 0


def _limit(what: int, value: int) -> None:
    hard = resource.getrlimit(what)[1]
    with suppress(ValueError, OSError):
        resource.setrlimit(what, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


def serve(connection: socket.socket, memory: int) -> None:
    """Answer requests until the parent closes the connection."""
    begun = confine(memory)
    send(connection, Answer(done=True))
    while (frame := receive(connection)) is not None:
        request, data = _requests.decode(frame), receive(connection) or b""
        used = resource.getrusage(resource.RUSAGE_SELF)
        # The parent's clock is the first limit; this one holds where the parent is stopped itself.
        _limit(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime + 2 * request.seconds) + 2)
        end = _End()
        with end:
            for answer in answers(request, data):
                send(connection, answer, request.output)
        del data, frame
        end.answer.worn = end.answer.worn or resident(1) - begun > _GROWN
        send(connection, end.answer)


class _End:
    """The last answer, with the reason for whatever ended the block."""

    def __init__(self) -> None:
        """Begin with the good end."""
        self.answer = Answer(done=True)

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> bool:
        """Note the reason; whatever a library raises on foreign bytes is this file's end and nobody else's."""
        if isinstance(error, Unreadable):
            self.answer.reason, self.answer.detail = error.reason, error.detail
        elif isinstance(error, MemoryError):
            self.answer.reason, self.answer.worn = "too_large_inside", True
        elif kind is not None:
            self.answer.reason, self.answer.detail = "damaged", f"({kind.__name__})"
        return isinstance(error, Exception | None) and not isinstance(error, ConnectionError)


def answers(request: Request, data: bytes) -> Iterator[Answer]:
    """Yield what one request asks for."""
    if request.task == "members":
        for found in members(request.name, data, request.budget or Budget(0, 0, 0)):
            yield Answer(skip=found) if isinstance(found, Skip) else Answer(member=found)
        return
    document = parse(request.name, data, request.source, request.modified, request.mask)
    yield Answer(document=document, digests=sorted(digests(document)) if request.digests else [])


def send(connection: socket.socket, answer: Answer, most: int = 1 << 30) -> None:
    """Send an answer; raise Unreadable if it is larger than ``most`` bytes."""
    try:
        frame = msgspec.msgpack.encode(answer)
    except UnicodeEncodeError:
        frame = msgspec.msgpack.encode(whole(answer))
    if len(frame) > most:
        raise Unreadable("too_large_inside")
    connection.sendall(len(frame).to_bytes(8))
    connection.sendall(frame)


def whole(value: Any) -> Any:
    """Return ``value`` with lone surrogates in its texts replaced: no database and no file can hold them."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list | tuple):
        return type(value)(map(whole, value))
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{each.name: whole(getattr(value, each.name)) for each in fields(value)})
    if isinstance(value, Answer):
        return Answer(**{name: whole(getattr(value, name)) for name in value.__struct_fields__})
    return value


def receive(connection: socket.socket) -> bytes | None:
    """Return the next frame, or None at the end."""
    head = _exactly(connection, 8)
    return None if head is None else _exactly(connection, int.from_bytes(head))


def _exactly(connection: socket.socket, size: int) -> bytes | None:
    data = bytearray(size)
    view, have = memoryview(data), 0
    while have < size:
        got = connection.recv_into(view[have:])
        if not got:
            return None
        have += got
    return bytes(data)


def child(descriptor: int, memory: int) -> None:
    """Be a child: serve the parent at this socket, then end, without anything that the forking process had to do."""
    code = 1
    try:
        os.setsid()
        die_with_parent()
        with socket.socket(fileno=descriptor) as connection:
            serve(connection, memory)
        code = 0
    finally:
        os._exit(code)


def end(pid: int, patience: float) -> int:
    """Return how a child ended; it is killed, with what it started, if it has not after ``patience`` seconds."""
    until = time.monotonic() + patience
    try:
        done, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return -signal.SIGKILL  # a child of the process before this one; its socket is closed, so it ends
    while not done and time.monotonic() < until:
        time.sleep(0.01)
        done, status = os.waitpid(pid, os.WNOHANG)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    if not done:
        # It may not lead its group yet.
        os.kill(pid, signal.SIGKILL)
        status = os.waitpid(pid, 0)[1]
    return os.waitstatus_to_exitcode(status)


def main() -> None:
    """Fork a child for every socket that the parent sends, until it is gone: its end of standard input closes then."""
    # What all children share stays shared.
    gc.freeze()
    with socket.socket(fileno=int(sys.argv[1])) as control:
        while True:
            ready = select.select([control, sys.stdin], [], [])[0]
            if control not in ready:
                return
            message, descriptors, _, _ = socket.recv_fds(control, MESSAGE, 1)
            if not message:
                return
            first, second = int.from_bytes(message[1:9]), int.from_bytes(message[9:])
            if message[:1] == END:
                control.sendall(end(first, second / 1000).to_bytes(8, signed=True))
                continue
            pid = os.fork()
            if pid == 0:
                control.close()
                child(descriptors[0], first)
            os.close(descriptors[0])
            control.sendall(pid.to_bytes(8, signed=True))


if __name__ == "__main__":
    main()
