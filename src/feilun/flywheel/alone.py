"""The process in which wheels turn by themselves, beside a gateway: ``python -m feilun.flywheel.alone``.

Its settings come in the environment. It gives way to whoever answers calls, and ends with whoever started it. This
module knows how it begins and ends. It does not know when a wheel is due.
"""

from __future__ import annotations

import asyncio
import json
import os

from feilun.compute import die_with_parent, say
from feilun.flywheel.wheel import watch
from feilun.settings import Settings
from feilun.store import audit, open_database

SETTINGS = "WHEEL_SETTINGS"


def main() -> None:
    """Look at wheels until the parent ends."""
    die_with_parent()
    settings = Settings(**json.loads(os.environ.pop(SETTINGS)))
    db = open_database(settings.root, settings.database)
    try:
        with audit.acting("wheel"):
            asyncio.run(watch(db, settings, lambda message: say(**message)))
    finally:
        db.close()


if __name__ == "__main__":
    main()
