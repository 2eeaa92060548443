"""Comparisons and answers as tests of proof need them. Does not know any test."""

from feilun.evaluation.compare import mcnemar, paired_interval
from feilun.records import Comparison, Eval, EvalAnswer, EvalItem

EXAM = Eval("eval-1", "demo", "own", tuple(EvalItem(f"item-{n}", f"q{n}", ("a",)) for n in range(4)))


def answers(run, scores):
    """Return a run's answers with these scores."""
    return [EvalAnswer(run, f"item-{n}", f"q{n}", f"{run} {n}", float(score)) for n, score in enumerate(scores)]


def comparison(questions, right, gained, lost):
    """Return the comparison with these counts; ``right`` are the incumbent's."""
    return Comparison(
        questions,
        right / questions,
        (right + gained - lost) / questions,
        (gained - lost) / questions,
        paired_interval(questions, gained, lost),
        gained,
        lost,
        mcnemar(gained, lost),
    )


FINE = comparison(100, 73, 4, 5)
