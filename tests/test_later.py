"""Libraries that are imported when they are used, and processes that do without them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from feilun.later import Later

HEAVY = ("openpyxl", "pyarrow", "torch", "transformers")


def test_a_module_is_imported_when_something_of_it_is_used() -> None:
    """Not when it is named; a name that it does not have, or a module that is not there, is an error as ever."""
    code = (
        "import sys; from feilun.later import Later; calendar = Later('calendar'); "
        "print('calendar' in sys.modules, calendar.MONDAY, 'calendar' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "0", "True"]
    with pytest.raises(AttributeError):
        _ = Later("calendar").no_such_name
    with pytest.raises(ModuleNotFoundError):
        _ = Later("no_such_module_anywhere").name


def test_a_gateway_starts_without_what_only_data_and_training_need() -> None:
    """Each of them takes tens of megabytes of a process that has a thousand streams to hold."""
    code = f"import sys, feilun.gateway.serve; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
