"""The leaderboard: model versions against exams, with intervals, what a right answer costs, and reruns.

The room knows runs and answers as they are kept. It does not know how a model is asked, nor who looks.
"""

from feilun.evaluation.leaderboard.kept import board
from feilun.evaluation.leaderboard.rerun import Rerun, rerun
from feilun.evaluation.leaderboard.table import Board, Cell, Model, smallest

__all__ = ["Board", "Cell", "Model", "Rerun", "board", "rerun", "smallest"]
