"""The flywheel: one turn from an organisation's files to a proven, promoted model version.

The room knows the order of the steps and what a turn leaves behind. It does not know how any step is done, and it does
not know HTTP.
"""

from feilun.flywheel.retrain import retrain
from feilun.flywheel.turn import DRILLS, sample_paths, turn

__all__ = ["DRILLS", "retrain", "sample_paths", "turn"]
