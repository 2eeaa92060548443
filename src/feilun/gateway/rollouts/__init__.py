"""Rollouts as they run: what calls show is compared while they come, and the candidate moves on or goes.

The room knows rollouts, rows of calls and when to look. It does not know how calls are divided (``gateway.snapshot``),
nor how arms are compared (``evaluation.canary``).
"""

from feilun.gateway.rollouts.steering import Steering
from feilun.gateway.rollouts.watching import Watcher

__all__ = ["Steering", "Watcher"]
