"""Foreign files cost one child process at most: time, memory, output, crashes, and what is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import psutil
import pytest

from feilun.curation.documents import SKIPS, Unreadable
from feilun.curation.readers.confined import Limits, Pool
from feilun.curation.scan import parse

PAGE = b"<p>" + b"<b>bold</b> <i>words</i> of a page that is long\n" * 60_000


@pytest.fixture(scope="module")
def warm() -> Iterator[Pool]:
    """Give a pool of one child with everyday limits."""
    with Pool(size=1) as pool:
        yield pool


def refusal(work: Callable[[], object]) -> str:
    """Return the reason for which ``work`` is refused."""
    with pytest.raises(Unreadable) as caught:
        work()
    assert caught.value.reason in SKIPS
    return caught.value.reason


def test_a_confined_reading_is_the_same_reading(warm: Pool) -> None:
    """Blocks, notes and reasons are those of reading in this process; the child is used again."""
    text = "问：几点开门？\n答：九点。\n".encode("gb18030") * 3
    assert warm.parse("a.txt", text, "source-1", "2024-01-01", True) == parse(
        "a.txt", text, "source-1", "2024-01-01", True
    )
    child = warm.pids
    document, digests = warm.read("faq.csv", b"question,answer\nWhat is the yearly fee?,The fee is 5 dollars.\n")
    assert document.blocks[0].rows[1] == ("What is the yearly fee?", "The fee is 5 dollars.")
    assert digests == sorted(digests)
    assert len(digests) > 1
    assert refusal(lambda: warm.parse("a.pdf", b"no pdf")) == refusal(lambda: parse("a.pdf", b"no pdf"))
    assert warm.pids == child


def test_lone_surrogates_do_not_break_the_way_back(warm: Pool) -> None:
    """Half a character in a JSON file arrives as a replacement; whole ones written in halves are joined."""
    (block,) = warm.parse("a.json", rb'{"text": "half \ud83d, whole \ud83d\ude00"}').blocks
    assert block.text == "half \ufffd, whole \U0001f600"


def test_slow_files_are_given_up(warm: Pool) -> None:
    """A file that takes longer than allowed is refused, its child is gone, and the next file is read."""
    warm.parse("a.txt", b"hello")
    others = {child.pid for child in psutil.Process().children(recursive=True)}
    with Pool(Limits(seconds=0.2), size=1) as pool:
        assert refusal(lambda: pool.parse("slow.html", PAGE)) == "too_slow"
        assert pool.pids == []
        assert {child.pid for child in psutil.Process().children(recursive=True)} == others
        assert pool.parse("a.txt", b"hello").blocks[0].text == "hello"


def test_bloated_files_are_given_up() -> None:
    """A file that needs more memory than allowed is refused; small ones are read with the same limit."""
    with Pool(Limits(memory=96 << 20), size=1) as pool:
        assert pool.parse("a.txt", b"hello").blocks
        assert (
            refusal(lambda: pool.parse("big.json", b"[" + b'{"a": [1, {}]},' * 1_500_000 + b"0]")) == "too_large_inside"
        )
        assert pool.parse("a.txt", b"hello").blocks


def test_endless_output_is_given_up() -> None:
    """A file that gives more text than allowed is refused."""
    with Pool(Limits(output=10_000), size=1) as pool:
        assert refusal(lambda: pool.parse("a.txt", b"many words " * 2_000)) == "too_large_inside"
        assert pool.parse("a.txt", b"few words").blocks


@pytest.mark.parametrize(
    ("blow", "reason"),
    [(signal.SIGSEGV, "damaged"), (signal.SIGKILL, "too_large_inside"), (signal.SIGXCPU, "too_slow")],
)
def test_a_crash_costs_one_child(blow: signal.Signals, reason: str) -> None:
    """However a child ends in the middle of a file, that file is refused by its reason and the next is read."""
    with Pool(size=1) as pool:
        pool.parse("a.txt", b"hello")
        (child,) = pool.pids
        timer = threading.Thread(target=lambda: (_until_busy(child), os.kill(child, blow)))
        timer.start()
        assert refusal(lambda: pool.parse("page.html", PAGE * 4)) == reason
        timer.join()
        assert not psutil.pid_exists(child)
        assert pool.parse("a.txt", b"hello").blocks


def _until_busy(pid: int) -> None:
    process = psutil.Process(pid)
    before = sum(process.cpu_times()[:2])
    while sum(process.cpu_times()[:2]) < before + 0.1:
        time.sleep(0.01)


def test_a_stopped_child_is_replaced() -> None:
    """A child that does nothing at all any more is given up after the time, and killed though it does not listen."""
    with Pool(Limits(seconds=0.3), size=1) as pool:
        pool.parse("a.txt", b"hello")
        (child,) = pool.pids
        os.kill(child, signal.SIGSTOP)
        assert refusal(lambda: pool.parse("a.txt", b"hello")) == "too_slow"
        assert not psutil.pid_exists(child)


def test_children_end_with_their_parent() -> None:
    """A parent that is killed leaves no child behind, one that ends leaves none either."""
    program = """
import sys
from feilun.curation.readers.confined import shared_pool
if __name__ == "__main__":
    shared_pool().parse("a.txt", b"hello")
    print(*shared_pool().pids, flush=True)
    sys.stdin.read()
"""
    for killed in (True, False):
        with subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as parent:
            assert parent.stdout is not None
            child = psutil.Process(int(parent.stdout.readline()))
            parent.kill() if killed else parent.communicate("")
            psutil.wait_procs([child], timeout=30)
            assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_results_keep_their_order() -> None:
    """Whichever file is read first, the results come in the order of the files; errors come in their place."""
    files = [("a.html", PAGE[:200_000]), ("b.txt", b"hello"), ("c.xyz", b"?"), ("d.txt", b"words")]
    with Pool(size=2) as pool:
        done = list(pool.map(lambda file: pool.parse(*file), files))
    assert [item[0] for item, _ in done] == ["a.html", "b.txt", "c.xyz", "d.txt"]
    assert [type(result.exception()) for _, result in done] == [type(None), type(None), Unreadable, type(None)]
