"""Commands of proof: exams, leaderboard, what an exam can show, which means of making a model better is worth it.

The room knows how these are asked for and told of. It does not know how anything is measured.
"""

from feilun.cli.proof.advise import add_advise
from feilun.cli.proof.exams import add_exam
from feilun.cli.proof.guards import add_redteam
from feilun.cli.proof.leaderboard import add_leaderboard
from feilun.cli.proof.power import add_power

__all__ = ["add_advise", "add_exam", "add_leaderboard", "add_power", "add_redteam"]
