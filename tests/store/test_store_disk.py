"""Syncing in the background: told once it is done, by the kernel or by a thread, whatever the handle is."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from feilun.store.calls.disk import Disk

pytestmark = pytest.mark.parametrize("kernel", [True, False])


async def synced(disk: Disk, handle: int) -> OSError | None:
    """Return what is told of a sync."""
    told: asyncio.Future[OSError | None] = asyncio.get_running_loop().create_future()
    disk.sync(handle, told.set_result)
    assert not told.done()  # never while whoever asks is still at work
    return await told


async def test_one_after_the_other(tmp_path: Path, kernel: bool) -> None:
    """Files are synced, and what is no file any more is an error; both leave the next one as it was."""
    disk = Disk(kernel)
    handle = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    for number in range(20):
        os.pwrite(handle, b"line\n" * 1000, 5000 * number)
        assert await synced(disk, handle) is None
    os.close(handle)
    failure = await synced(disk, handle)
    assert isinstance(failure, OSError)
    again = os.open(tmp_path / "file", os.O_RDWR)
    assert await synced(disk, again) is None
    os.close(again)
    disk.close()


async def test_what_cannot_be_synced(tmp_path: Path, kernel: bool) -> None:
    """A pipe, which the kernel does not even begin to sync, is an error like any other; files are synced afterwards."""
    disk = Disk(kernel)
    reading, writing = os.pipe()
    assert isinstance(await synced(disk, writing), OSError)
    handle = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    assert await synced(disk, handle) is None
    for each in (reading, writing, handle):
        os.close(each)
    disk.close()


async def test_the_loop_goes_on_meanwhile(tmp_path: Path, kernel: bool) -> None:
    """While a large file is synced, others have their turns."""
    disk = Disk(kernel)
    handle = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    os.pwrite(handle, os.urandom(1 << 20) * 64, 0)
    waiting, turns = asyncio.ensure_future(synced(disk, handle)), 0
    while not waiting.done():
        await asyncio.sleep(0)
        turns += 1
    assert waiting.result() is None
    assert turns > 10
    os.close(handle)
    disk.close()
