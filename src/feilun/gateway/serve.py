"""``feilun up``: bind the port, make the first key, serve until told to stop, then let calls in flight finish.

This module knows ports, signals and the words at the start. It does not know any endpoint.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import logging.handlers
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager, closing
from pathlib import Path

from feilun.compute import permit_files
from feilun.compute.locks import lock
from feilun.compute.memory import share_one_heap
from feilun.compute.slices import let_others_in
from feilun.errors import Busy, PortTaken
from feilun.gateway.app import create_app, create_server
from feilun.settings import Settings
from feilun.store import Database, keys, open_database, workspaces
from feilun.wire import Server

DEFAULT_WORKSPACE = "default"
DRAIN_SECONDS = 20.0
SLICE_SECONDS = 0.0001  # the kernel's threads that sync the call log must not wait for the loop
SWITCH_SECONDS = 0.0005  # a thread that has written to the disk must not wait long to say so
GARBAGE = 20_000  # new objects until the collector looks: calls make many and leave no cycles behind
_LARGEST_LOG = 10_000_000

Say = Callable[[str], None]


async def up(settings: Settings, say: Say = print, workspace: str = "") -> None:
    """Serve until SIGTERM or SIGINT.

    Raises PortTaken, BadSetting, Busy if another gateway serves this home, or what keeps the store from opening.
    """
    permit_files()
    with closing(bind(settings.host, settings.port)) as listener:
        log_to(settings.root / "logs")
        async with _alone(settings.root / "locks" / "gateway.lock", say):
            with closing(await asyncio.to_thread(open_database, settings.root, settings.database)) as db:
                await _serve(settings, db, listener, say, workspace)


async def _serve(settings: Settings, db: Database, listener: socket.socket, say: Say, workspace: str) -> None:
    host, port = listener.getsockname()[:2]
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    first = await asyncio.to_thread(first_key, db, workspace)
    share_one_heap()
    app = create_app(settings, db)
    server = create_server(app)
    stopping = _Stopping(server)
    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, stopping)
    say(welcome(url, settings, first))
    # What was made until now stays, and so does what is in force (ten thousand keys are hundreds of thousands of
    # objects): the collector need not look at it again with every call's garbage.
    gc.collect()
    gc.freeze()
    app.state.gateway.snapshot.heard.append(lambda _: gc.freeze())
    gc.set_threshold(GARBAGE)
    sys.setswitchinterval(SWITCH_SECONDS)
    let_others_in(SLICE_SECONDS)
    await server.serve(listener)


@asynccontextmanager
async def _alone(path: Path, say: Say) -> AsyncIterator[None]:
    """Be the one gateway of a home, as what is used of a budget is counted in one process; one that stops may end.

    Raises Busy, which says who holds the lock.
    """
    until, said = time.monotonic() + DRAIN_SECONDS + 2.0, False
    with ExitStack() as held:
        while True:
            try:
                held.enter_context(lock(path, "a gateway of this home"))
                break
            except Busy as error:
                if time.monotonic() > until:
                    raise
                if not said:
                    say(f"{error.message} …")
                said = True
                await asyncio.sleep(0.2)
        yield


class _Stopping:
    """Ends the server when a signal comes; a second one does not wait for calls in flight."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._closing: list[asyncio.Task[None]] = []

    def __call__(self) -> None:
        grace = 0.0 if self._closing else DRAIN_SECONDS
        self._closing.append(asyncio.get_running_loop().create_task(self._server.close(grace)))


def bind(host: str, port: int) -> socket.socket:
    """Return a listening socket; raise PortTaken, which says what to do."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)
    except (OSError, OverflowError) as error:
        listener.close()
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise PortTaken(
                f"Another program listens on {host}:{port}.", "Stop it, or choose another with --port."
            ) from error
        raise PortTaken(f"Cannot listen on {host}:{port}: {error}.", "Choose another --host or --port.") from error
    return listener


def first_key(db: Database, workspace: str = "") -> tuple[str, str] | None:
    """Make the first key of a home and return (workspace, secret); None if there is a key already."""
    known = workspaces.names(db)
    if any(keys.find(db, ws) for ws in known):
        return None
    ws = workspace or (DEFAULT_WORKSPACE if DEFAULT_WORKSPACE in known or len(known) != 1 else known[0])
    workspaces.ensure(db, ws)
    _, secret = keys.create(db, ws, "first", "owner")
    return ws, secret


def welcome(url: str, settings: Settings, first: tuple[str, str] | None) -> str:
    """Return what people read at the start."""
    chinese = settings.language == "zh"
    lines = [f"飞轮已在 {url} 提供服务（按 Ctrl-C 停止）" if chinese else f"Feilun serves at {url} (Ctrl-C stops it)"]
    if first is not None:
        ws, secret = first
        lines += [
            "",
            f"API 密钥（仅此一次显示）：{secret}" if chinese else f"API key (shown only now): {secret}",
            f"工作区：{ws}，角色：owner" if chinese else f"workspace: {ws}, role: owner",
            "",
            "  from openai import OpenAI",
            f'  client = OpenAI(base_url="{url}/v1", api_key="{secret}")',
            '  client.chat.completions.create(model="own", messages=[{"role": "user", "content": "…"}])',
        ]
    return "\n".join(lines)


def log_to(folder: Path) -> None:
    """Send what the gateway and its server have to tell to ``folder/gateway.log``."""
    folder.mkdir(parents=True, exist_ok=True)
    handler = logging.handlers.RotatingFileHandler(
        folder / "gateway.log", maxBytes=_LARGEST_LOG, backupCount=1, encoding="utf-8", errors="backslashreplace"
    )
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    for old in [each for each in root.handlers if isinstance(each, logging.handlers.RotatingFileHandler)]:
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    logging.getLogger("httpx").setLevel(logging.WARNING)
