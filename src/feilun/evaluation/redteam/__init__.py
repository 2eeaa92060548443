"""Red team: what a model does when it is attacked, what it has remembered, whom it takes for what.

The room knows attacks, canaries and how their results are counted. It does not know engines, how models were trained,
or what data an organisation has.
"""

from feilun.evaluation.redteam.canaries import Canary, make_canaries, plant
from feilun.evaluation.redteam.exam import FAMILIES, red_team
from feilun.evaluation.redteam.exposure import Exposed, Remembered, expose, remembered
from feilun.evaluation.redteam.told import Family, families, summary

__all__ = [
    "FAMILIES",
    "Canary",
    "Exposed",
    "Family",
    "Remembered",
    "expose",
    "families",
    "make_canaries",
    "plant",
    "red_team",
    "remembered",
    "summary",
]
