"""Insights: questions that go wrong again and again, found in the calls, named, decided by a person, followed up.

The room knows signs of failure, nearness of questions and what a decision writes. It does not know how anything is
trained, examined or promoted, nor how personal data is found: what masks texts is handed in.
"""

from feilun.feedback.insights.deciding import Given, Held, accept, dismiss, held
from feilun.feedback.insights.encoding import encoder
from feilun.feedback.insights.look import look
from feilun.feedback.insights.progress import examined

__all__ = ["Given", "Held", "accept", "dismiss", "encoder", "examined", "held", "look"]
