"""A program that starts an engine and tells its process id; the test kills it: ``python children.py HOME MODEL``."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from feilun.serving import start_engine
from feilun.serving.client import ProcessEngine
from feilun.settings import Settings


async def main(home: str, model: str) -> None:
    """Start, tell, wait for ever."""
    settings = Settings(home=home, model=model, engine="torch", threads=1, batch=2, context=64)
    engine = await start_engine(settings, Path(home))
    assert isinstance(engine, ProcessEngine)
    print(engine.process.pid, flush=True)
    await asyncio.sleep(600)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
