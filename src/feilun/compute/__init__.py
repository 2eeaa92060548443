"""Where work runs: durable jobs, supervised child processes, locks, and what the machine has.

Knows how work starts, is recorded, is watched and ends, on this machine. Does not know what any work is about, and
does not know where rows are kept: a job's journal is given to it.
"""

from feilun.compute.child import die_with_parent, say, say_failure, say_ready
from feilun.compute.devices import ensure_space, has_amx, has_bf16, machine, memory_limit, permit_files, threads
from feilun.compute.failures import describe, disk_errors, revive
from feilun.compute.jobs import Context, Journal, run
from feilun.compute.locks import holder, lock
from feilun.compute.memory import PeakMemory, rss
from feilun.compute.processes import Command, Process, Restart, to_the_end
from feilun.compute.spares import Spare

__all__ = [
    "Command",
    "Context",
    "Journal",
    "PeakMemory",
    "Process",
    "Restart",
    "Spare",
    "describe",
    "die_with_parent",
    "disk_errors",
    "ensure_space",
    "has_amx",
    "has_bf16",
    "holder",
    "lock",
    "machine",
    "memory_limit",
    "permit_files",
    "revive",
    "rss",
    "run",
    "say",
    "say_failure",
    "say_ready",
    "threads",
    "to_the_end",
]
