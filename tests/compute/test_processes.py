"""Child processes are watched, restarted, stopped and never left behind: with real processes and real signals."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from feilun.compute import Command, Process, Restart, Spare
from feilun.compute.logs import LogFile
from feilun.errors import BadModel, Conflict, EngineDown

ME = str(Path(__file__).with_name("children.py"))
QUICK = Restart(tries=3, window=60, first=0.01, longest=0.02)


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., Command]:
    """Return a maker of commands that run a program of ``children.py``."""

    def make(*arguments: str, ready: float = 60, stop: float = 20) -> Command:
        argv = (sys.executable, ME, *arguments)
        return Command("the engine", argv, tmp_path / "logs" / "engine.log", ready_seconds=ready, stop_seconds=stop)

    return make


def alive(pid: int) -> bool:
    """Say whether a process runs (a zombie does not)."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def until(condition: Callable[[], bool]) -> None:
    """Return once ``condition`` holds; fail after a minute, so that a test cannot hang."""
    for _ in range(6_000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen within a minute")


def wait_gone(*pids: int) -> bool:
    """Wait until none of the processes runs; give up after a minute."""
    for _ in range(600):
        if not any(alive(pid) for pid in pids):
            return True
        time.sleep(0.1)
    return False


async def test_ready_line_is_the_info(command: Callable[..., Command]) -> None:
    """The child's ready line is what ``start`` returns; other output is in the log; it is gone after the block."""
    async with Process(command("server")) as child:
        pid = child.pid
        assert child.info == await child.ready() == {"pid": pid}
    assert not alive(pid)
    log = child.command.log.read_text()
    assert "an ordinary line" in log
    assert "a line of the error output" in log
    with pytest.raises(EngineDown):
        assert child.info
    with pytest.raises(Conflict):
        await child.start()


async def test_messages_arrive_in_order(command: Callable[..., Command]) -> None:
    """Every JSON line reaches the callback before the end does; a broken line goes to the log."""
    messages: list[dict[str, object]] = []
    child = Process(command("trainer", "500", ready=0), on_message=messages.append)
    await child.start()
    assert await child.wait() == 0
    assert [message["step"] for message in messages] == list(range(500))
    assert messages[0]["说明"] == "进度"
    assert '{"unfinished": ' in child.command.log.read_text()
    await child.stop()


async def test_error_of_the_callback_ends_the_child(command: Callable[..., Command]) -> None:
    """A message that cannot be taken is not lost silently: the child ends and ``wait`` raises the reason."""

    def refuse(message: dict[str, object]) -> None:
        raise Conflict(f"cannot take {message}")

    async with Process(command("trainer", "1", ready=0), on_message=refuse) as child:
        with pytest.raises(Conflict, match="cannot take"):
            await child.wait()


@pytest.mark.parametrize(("marker", "words"), [("crash", "going down"), ("crash", "exit code 3"), ("silent", "within")])
async def test_child_that_never_gets_ready(command: Callable[..., Command], marker: str, words: str) -> None:
    """A first start that fails raises EngineDown with the reason, the last lines and the log's path."""
    child = Process(command("server", marker, ready=2 if marker == "silent" else 60), restart=QUICK)
    with pytest.raises(EngineDown, match=words) as caught:
        await child.start()
    assert str(child.command.log) in caught.value.hint
    assert child.starts == 1
    assert child.pid == 0


async def test_child_tells_its_own_error(command: Callable[..., Command]) -> None:
    """The error that the child reports is raised in the parent, with its class."""
    with pytest.raises(BadModel, match="Fetch it again"):
        await Process(command("server", "failure")).start()


async def test_program_that_is_not_there(tmp_path: Path) -> None:
    """A missing program is EngineDown that names it, and leaves no task behind."""
    with pytest.raises(EngineDown, match="no-such-program"):
        await Process(Command("the engine", ("no-such-program",), tmp_path / "log")).start()
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_killed_child_is_restarted(command: Callable[..., Command]) -> None:
    """After ``kill -9`` the child is down at once, then up again as another process."""
    async with Process(command("server"), restart=QUICK) as child:
        first = child.pid
        os.kill(first, signal.SIGKILL)
        await until(lambda: child.starts == 2)
        assert (await child.ready())["pid"] == child.pid != first


async def test_supervisor_gives_up(command: Callable[..., Command], tmp_path: Path) -> None:
    """A child that crashes at every start is given up; everybody who waits learns it, with the log's path."""
    async with Process(command("once", str(tmp_path / "marker")), restart=QUICK) as child:
        os.kill(child.pid, signal.SIGKILL)
        with pytest.raises(EngineDown, match="exit code 4, the last of 4 times") as caught:
            await child.wait()
        assert str(child.command.log) in caught.value.hint
        with pytest.raises(EngineDown, match="the last of 4 times"):
            await child.ready()
        assert child.starts == 4


async def test_child_that_runs_once_is_not_restarted(command: Callable[..., Command]) -> None:
    """Without a restart rule the exit code is the answer: the signal's number, negative."""
    async with Process(command("server")) as child:
        os.kill(child.pid, signal.SIGKILL)
        assert await child.wait() == -signal.SIGKILL
        assert child.starts == 1


async def test_deaf_child_is_killed(command: Callable[..., Command]) -> None:
    """A child that ignores SIGTERM is killed after its grace, and stopping twice is safe."""
    child = Process(command("server", "deaf", stop=0.2))
    await child.start()
    pid = child.pid
    await child.stop()
    await child.stop()
    assert not alive(pid)


async def test_grandchildren_go_too(command: Callable[..., Command]) -> None:
    """A grandchild that holds the pipes open does not hide the child's end, and goes with it."""
    child = Process(command("family", "leave"))
    grandchild = (await child.start())["grandchild"]
    assert await child.wait() == 0
    assert wait_gone(grandchild)
    await child.stop()


async def test_stop_during_a_restart(command: Callable[..., Command]) -> None:
    """Stopping while the supervisor waits to restart ends it; nothing starts later."""
    child = Process(command("server"), restart=Restart(first=60, longest=60))
    await child.start()
    os.kill(child.pid, signal.SIGKILL)
    await until(lambda: not child.pid)
    with pytest.raises(EngineDown, match="not running just now"):
        assert child.info
    await child.stop()
    assert (child.pid, child.starts) == (0, 1)


async def test_a_cancelled_stop_stops_all_the_same(command: Callable[..., Command]) -> None:
    """Who is cancelled, twice even, while the child takes its time to end learns so when it has ended."""
    child = Process(command("server", "deaf", stop=0.5))
    await child.start()
    pid = child.pid
    stop = asyncio.ensure_future(child.stop())
    for _ in range(2):
        await asyncio.sleep(0.05)
        stop.cancel()
    await asyncio.wait({stop})
    assert stop.cancelled()
    assert not psutil.pid_exists(pid)


async def test_cancelled_start_leaves_nothing(command: Callable[..., Command]) -> None:
    """Cancelling a start that waits for the ready line ends the child."""
    child = Process(command("server", "silent"))
    start = asyncio.create_task(child.start())
    await until(lambda: child.pid != 0)
    pid = child.pid
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    assert not alive(pid)


def test_killed_parent_leaves_no_child(tmp_path: Path) -> None:
    """``kill -9`` of the parent ends its child and the child's child."""
    argv = [sys.executable, ME, "parent", str(tmp_path / "log")]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pids = [int(word) for word in parent.stdout.readline().split()]
        assert len(pids) == 2
        assert all(alive(pid) for pid in pids)
        parent.kill()
    assert wait_gone(*pids)


def test_back_off_doubles_within_its_jitter() -> None:
    """Waits double up to the longest, each within the jitter."""
    rule = Restart(first=1, longest=5, jitter=0.5)
    for crashes, middle in ((1, 1), (2, 2), (3, 4), (4, 5), (50, 5)):
        waits = [rule.delay(crashes) for _ in range(50)]
        assert all(middle * 0.5 <= wait <= middle * 1.5 for wait in waits)
        assert len(set(waits)) > 1


def test_log_is_rotated(tmp_path: Path) -> None:
    """Beyond its size the log moves to ``.1``; another holder's descriptor goes on writing to the emptied file."""
    log = LogFile(tmp_path / "log", largest=100)
    other = os.dup(log.descriptor)
    for number in range(12):
        log.write(f"line {number:04}\n".encode())
    os.write(other, b"from the child\n")
    os.close(other)
    log.close()
    assert (tmp_path / "log").read_text() == "line 0011\nfrom the child\n"
    assert (tmp_path / "log.1").read_text().startswith("line 0000\n")
    assert log.tail(1) == "from the child"


def session_priority(pid: int) -> int | None:
    """Return the priority of a process's session, where Linux has such a thing."""
    file = Path(f"/proc/{pid}/autogroup")
    return int(file.read_text().split()[-1]) if file.exists() else None


async def test_background_work_gives_way(command: Callable[..., Command]) -> None:
    """Work in the background has a lower priority than ours, other work the same; where sessions count, so does its."""
    async with Process(command("server")) as ordinary, Process(replace(command("server"), background=True)) as patient:
        ours = os.getpriority(os.PRIO_PROCESS, 0)
        assert os.getpriority(os.PRIO_PROCESS, ordinary.pid) == ours
        assert os.getpriority(os.PRIO_PROCESS, patient.pid) > ours
        assert session_priority(patient.pid) in {None, 10}
        assert session_priority(ordinary.pid) in {None, 0}


async def test_a_spare_becomes_the_child(tmp_path: Path) -> None:
    """The spare waits, takes the arguments, environment and log of the command, and is followed by another spare."""
    (tmp_path / "program.py").write_text(PROGRAM)
    env = {"PYTHONPATH": str(tmp_path)}
    spare = Spare("program", tmp_path / "spare.log", env)
    spare.refill()
    await until(lambda: spare.pid > 0)
    waiting = spare.pid
    argv = (sys.executable, "-m", "program", "one", "two")
    command = Command("the program", argv, tmp_path / "log", env={**env, "SAID": "three"})
    async with Process(command, restart=Restart(first=60, longest=60, at_once=True), spare=spare) as child:
        assert child.pid == waiting
        assert child.info == {"arguments": ["one", "two"], "said": "three"}
        assert "to the error output" in command.log.read_text()
        await until(lambda: spare.pid > 0)
        following = spare.pid
        os.kill(child.pid, signal.SIGKILL)
        await child.gone()
        assert (await child.ready(), child.pid) == (child.info, following)
    await spare.stop()
    assert wait_gone(waiting, following)
    assert spare.pid == 0


async def test_a_spare_of_another_program(command: Callable[..., Command], tmp_path: Path) -> None:
    """A spare that cannot become what is wanted, or is dead, is passed over."""
    spare = Spare("json", tmp_path / "spare.log", {})
    spare.refill()
    async with Process(command("server"), spare=spare) as child:
        assert child.pid != spare.pid > 0
        os.kill(spare.pid, signal.SIGKILL)
        await until(lambda: spare.pid == 0)
    argv = (sys.executable, "-m", "json")
    assert await spare.take(argv, {}, LogFile(tmp_path / "log"), None) is None
    await spare.stop()


PROGRAM = """
import os, sys, time
from feilun.compute import die_with_parent, say_ready

def main():
    die_with_parent()
    print("to the error output", file=sys.stderr, flush=True)
    say_ready(arguments=sys.argv[1:], said=os.environ["SAID"])
    time.sleep(600)

if __name__ == "__main__":
    main()
"""
