"""A child that does beforehand what takes long: ``python -m feilun.compute.standby MODULE``.

It imports MODULE and waits for one line on standard input, ``{"arguments", "env", "log"}``; then it is the process that
``python -m MODULE arguments`` would have been, its error output in ``log``. It does not know what MODULE does.
"""

from __future__ import annotations

import importlib
import json
import os
import sys


def main() -> int:
    """Import, wait, become."""
    module = importlib.import_module(sys.argv[1])
    line = b""
    # Byte by byte: whatever reads standard input next (a watch for the parent's death) must find what follows.
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            return 0
        line += byte
    order = json.loads(line)
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 2)
    os.close(log)
    os.environ.update(order["env"])
    sys.argv = [str(module.__file__), *order["arguments"]]
    return int(module.main() or 0)


if __name__ == "__main__":
    raise SystemExit(main())
