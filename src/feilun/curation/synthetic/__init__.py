"""Made-up data: questions with answers, other wordings, wrong answers, conversations and questions without answers.

Everything is made of passages, by any model, and is kept only if its passage says it. The room knows prompts, grounding
and the order of work. It does not know which models there are, nor how a call reaches one: that is handed in.
"""

from feilun.curation.synthetic.asking import KINDS, Ask, Kind
from feilun.curation.synthetic.checking import REASONS
from feilun.curation.synthetic.making import Failure, Made, Plan, Writer, keep, synthesise
from feilun.curation.synthetic.scripted import Scripted

__all__ = [
    "KINDS",
    "REASONS",
    "Ask",
    "Failure",
    "Kind",
    "Made",
    "Plan",
    "Scripted",
    "Writer",
    "keep",
    "synthesise",
]
