"""Reading foreign files in child processes: bounded in time, memory and output, reused while they behave.

This module knows how a child is asked, watched, ended and replaced. It does not know any file format: the child's side
is in ``children``. A file that hangs, crashes or bloats its child costs that child, and is refused with a reason.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, Self, TypeVar

import msgspec

from feilun.curation.documents import Document, Skip, Unreadable
from feilun.curation.readers.confined.nursery import START_SECONDS, nursery
from feilun.errors import EngineDown

T = TypeVar("T")
U = TypeVar("U")
IDLE_SECONDS = 30.0
_HEAD = 8


@dataclass(frozen=True, slots=True)
class Limits:
    """What reading one file may cost: ``seconds`` of waiting, bytes of ``output``, and bytes of ``memory``.

    The memory is beyond what the child has when it is ready.
    """

    seconds: float = 120.0
    memory: int = 2 << 30
    output: int = 512 << 20


@dataclass(frozen=True, slots=True)
class Budget:
    """What may still be unpacked: ``bytes`` and ``members`` in all, and archives within archives (``depth``)."""

    bytes: int
    members: int
    depth: int


@dataclass(frozen=True, slots=True)
class Member:
    """A file within an archive or a message: its name in there (``/`` between folders), its bytes, its day (ISO)."""

    name: str
    data: bytes
    modified: str = ""


class Request(msgspec.Struct):
    """What a child is asked: ``read`` (a document and the digests of its texts), or ``members``; the bytes follow."""

    task: Literal["read", "members"]
    name: str
    source: str = ""
    modified: str = ""
    mask: bool = False
    digests: bool = False
    budget: Budget | None = None
    output: int = 0
    seconds: float = 0.0


class Answer(msgspec.Struct):
    """What a child answers: a part of it, or its end (``done``); ``worn`` asks for another child from now on."""

    document: Document | None = None
    digests: list[str] = []
    member: Member | None = None
    skip: Skip | None = None
    reason: str = ""
    detail: str = ""
    done: bool = False
    worn: bool = False


_answers = msgspec.msgpack.Decoder(Answer)


class _Child:
    """One child process with its socket."""

    def __init__(self, limits: Limits) -> None:
        """Start the process; raise EngineDown if it does not become ready."""
        self.pid, self._socket = nursery().bear(limits.memory)
        self.since = time.monotonic()
        self._code: int | None = None
        try:
            self.receive(time.monotonic() + START_SECONDS, 1 << 20)
        except (OSError, Unreadable) as error:
            self.kill()
            raise EngineDown("The process that reads files does not start.", "Check the installation.") from error

    def send(self, request: Request, data: bytes, deadline: float) -> None:
        """Send a request and the file's bytes."""
        self._socket.settimeout(max(0.001, deadline - time.monotonic()))
        for frame in (msgspec.msgpack.encode(request), data):
            self._socket.sendall(len(frame).to_bytes(_HEAD))
            self._socket.sendall(frame)

    def receive(self, deadline: float, most: int) -> Answer:
        """Return the next answer; raise TimeoutError, ConnectionError at the child's end, Unreadable if too large."""
        size = int.from_bytes(self._exactly(_HEAD, deadline))
        if size > most:
            raise Unreadable("too_large_inside")
        return _answers.decode(self._exactly(size, deadline))

    def _exactly(self, size: int, deadline: float) -> bytearray:
        data = bytearray(size)
        view, have = memoryview(data), 0
        while have < size:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._socket.settimeout(left)
            got = self._socket.recv_into(view[have:])
            if not got:
                raise ConnectionError
            have += got
        return data

    def kill(self, patience: float = 0.0) -> int:
        """End the process and what it started, after ``patience`` seconds; return its exit code."""
        if self._code is None:
            self._code = nursery().end(self.pid, patience)
            self._socket.close()
        return self._code

    def end(self) -> str:
        """Wait a moment for a child that closed its socket; return the reason that its end gives."""
        code = self.kill(2.0)
        return {-signal.SIGXCPU: "too_slow", -signal.SIGKILL: "too_large_inside"}.get(code, "damaged")


class Pool:
    """Warm children, at most ``size`` at once (0: one for each core, at most four); any thread may ask it.

    Children that nobody needs for half a minute are ended. ``with Pool() as pool:`` ends all of them.
    """

    def __init__(self, limits: Limits | None = None, size: int = 0) -> None:
        """Keep the limits; no child is started yet."""
        self.limits = limits or Limits()
        self.size = size or min(4, os.cpu_count() or 1)
        self._forget()
        atexit.register(self.close)
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        """Begin without children; those of the process that we were forked from are not ours."""
        self._left = getattr(self, "_idle", [])
        self._idle: list[_Child] = []
        self._lock = threading.Lock()
        self._slots = threading.BoundedSemaphore(self.size)
        self._timer: threading.Timer | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pids(self) -> list[int]:
        """The process ids of the idle children."""
        with self._lock:
            return [child.pid for child in self._idle]

    def close(self) -> None:
        """End every idle child."""
        self._retire(0.0)

    def rest(self) -> None:
        """End every idle child, and the process that starts them if nobody else has children: the next one is slow."""
        self._retire(0.0)
        nursery().rest()

    def parse(self, name: str, data: bytes, source: str = "", modified: str = "", mask: bool = False) -> Document:
        """Return the document that a file's bytes hold, as ``scan.parse`` does; raise Unreadable with the reason."""
        return self._read(Request("read", name, source, modified, mask), data)[0]

    def read(self, name: str, data: bytes) -> tuple[Document, list[str]]:
        """Return the document and the digests of the texts in it; raise Unreadable."""
        return self._read(Request("read", name, digests=True), data)

    def members(self, name: str, data: bytes, budget: Budget) -> Iterator[Member | Skip]:
        """Yield the files within a file and those that were refused, in their order; raise Unreadable.

        The child waits while the caller works on a member; only what it needs itself counts against the time.
        """
        for answer in self._ask(Request("members", name, budget=budget), data):
            found = answer.member or answer.skip
            if found is not None:
                yield found

    def map(self, work: Callable[[T], U], items: Iterable[T]) -> Iterator[tuple[T, Future[U]]]:
        """Yield each item with the finished result of ``work``, in the order of ``items``, ``size`` at once."""
        waiting: deque[tuple[T, Future[U]]] = deque()
        with ThreadPoolExecutor(self.size, "reading") as threads:
            try:
                for item in items:
                    waiting.append((item, threads.submit(work, item)))
                    if len(waiting) > self.size:
                        yield _finished(waiting.popleft())
                while waiting:
                    yield _finished(waiting.popleft())
            finally:
                for _, future in waiting:
                    future.cancel()

    def _read(self, request: Request, data: bytes) -> tuple[Document, list[str]]:
        document: Document | None = None
        digests: list[str] = []
        for answer in self._ask(request, data):
            document, digests = answer.document or document, answer.digests or digests
        if document is None:
            raise Unreadable("damaged")
        return document, digests

    def _ask(self, request: Request, data: bytes) -> Iterator[Answer]:
        """Yield the answers of a child until its last; raise Unreadable."""
        request.output, request.seconds = self.limits.output, self.limits.seconds
        # Who unpacks waits for those who read what was unpacked, so it must not hold one of their places.
        with self._slots if request.task == "read" else contextlib.nullcontext():
            child = self._child()
            reusable = False
            try:
                left = self.limits.seconds
                began = time.monotonic()
                child.send(request, data, began + left)
                while True:
                    answer = child.receive(began + left, self.limits.output)
                    left -= time.monotonic() - began
                    if answer.done:
                        reusable = not answer.worn
                        break
                    yield answer
                    began = time.monotonic()
                if answer.reason:
                    raise Unreadable(answer.reason, answer.detail)
            except TimeoutError:
                raise Unreadable("too_slow") from None
            except (ConnectionError, msgspec.DecodeError):
                raise Unreadable(child.end()) from None
            finally:
                if reusable:
                    self._release(child)
                else:
                    child.kill()

    def _child(self) -> _Child:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return _Child(self.limits)

    def _release(self, child: _Child) -> None:
        with self._lock:
            child.since = time.monotonic()
            self._idle.append(child)
            if self._timer is None:
                self._arm()

    def _arm(self) -> None:
        self._timer = threading.Timer(IDLE_SECONDS, self._retire, (IDLE_SECONDS,))
        self._timer.daemon = True
        self._timer.start()

    def _retire(self, idle: float) -> None:
        """End the children that nobody needed for ``idle`` seconds; look again later if there are others."""
        with self._lock:
            now = time.monotonic()
            old = [child for child in self._idle if now - child.since >= idle]
            self._idle = [child for child in self._idle if child not in old]
            if self._timer is not None:
                self._timer.cancel()
            self._timer = None
            if self._idle:
                self._arm()
        for child in old:
            child.kill()
        if idle:
            nursery().rest()


def _finished(pair: tuple[T, Future[U]]) -> tuple[T, Future[U]]:
    pair[1].exception()
    return pair


@lru_cache(maxsize=1)
def shared_pool() -> Pool:
    """Return the pool of this process, whose children stay warm from one import to the next."""
    return Pool()
