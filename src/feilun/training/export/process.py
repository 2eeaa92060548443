"""An export in a process of its own: ``python -m feilun.training.export.process ORDER.json``.

The libraries that weights need stay out of whoever asks. It tells on stdout what was written, or what went wrong. It
does not know who asks.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from feilun.compute import die_with_parent, say, say_failure
from feilun.errors import FeilunError
from feilun.settings import load
from feilun.store import open_database
from feilun.training.export.whole import export_model

DATABASE = "FEILUN_EXPORT_DATABASE"  # its URL may hold a password, so it is in no file


def main() -> int:
    """Do what the order says: ``home``, ``workspace``, ``model``, ``form``, ``kind`` and ``out``."""
    die_with_parent()
    order = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    settings = load(environment={}, given={"home": order["home"], "database": os.environ.get(DATABASE, "")})
    try:
        db = open_database(settings.root, settings.database)
        try:
            where = (order["workspace"], order["model"], order["form"], Path(order["out"]), order["kind"])
            found = export_model(db, *where)
        finally:
            db.close()
    except FeilunError as error:
        say_failure(error)
        return error.exit_code
    say(done=True, files=found.files, kind=found.kind)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
