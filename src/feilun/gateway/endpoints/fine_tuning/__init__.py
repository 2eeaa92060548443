"""``/v1/fine_tuning``: from an uploaded file to a model version of the workspace, as a durable job.

The room knows OpenAI's shapes of a training, training files, teachers and graders. It does not know how a model learns,
nor how an answer is graded.
"""

from feilun.gateway.endpoints.fine_tuning import exports, graders
from feilun.gateway.endpoints.fine_tuning.jobs import router
from feilun.gateway.endpoints.fine_tuning.shapes import KIND, PREFIX
from feilun.gateway.endpoints.fine_tuning.work import Work

__all__ = ["KIND", "PREFIX", "Work", "exports", "graders", "router"]
