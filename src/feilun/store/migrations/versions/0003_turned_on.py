"""Model versions that people have turned on; those that jobs of the API made before stay on."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
_BEFORE = """
INSERT INTO turned_on (workspace, model, who, created)
SELECT models.workspace, models.id, min(jobs.id), min(models.created) FROM models
JOIN jobs ON jobs.workspace = models.workspace AND jobs.result LIKE '%"model":"' || models.id || '"%'
WHERE models.kind = 'adapter' AND jobs.id LIKE 'ftjob-%' AND jobs.status = 'succeeded'
GROUP BY models.workspace, models.id
"""


def upgrade() -> None:
    """Create the table, and keep on what clients were promised as their fine-tuned model."""
    op.create_table(
        "turned_on",
        sa.Column("workspace", sa.Text, primary_key=True),
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.ForeignKeyConstraint(["workspace", "model"], ["models.workspace", "models.id"]),
    )
    op.execute(_BEFORE)
