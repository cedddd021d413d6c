"""What other teams query: views over the tables."""

from __future__ import annotations

from collections.abc import Mapping

from jobs.lake import tables
from jobs.lake.store import Lake
from models.tasks import TaskSettings


def register(lake: Lake, tasks: Mapping[str, TaskSettings]) -> None:
    """Make the views anew in the lake's schema, and let bare names mean it."""
    for table in tables.ALL:
        lake.catalog.register(table)  # the embedded catalog forgets between sessions
    spark, schema = lake.spark, lake.catalog.schema_name
    spark.sql(f"USE {schema}")
    for name, query in queries(schema, tasks).items():
        spark.sql(f"CREATE OR REPLACE VIEW {schema}.{name} AS {query}")


def queries(schema: str, tasks: Mapping[str, TaskSettings]) -> dict[str, str]:
    """The views and what they select."""
    return {
        "student_scores_long": f"""
            SELECT s.text_id, s.dt, s.scene, m.task, s.model_id, one.label, s.probs[one.position] AS score, s.error
            FROM {schema}.student_scores s
            JOIN {schema}.models m ON m.model_id = s.model_id
            LATERAL VIEW posexplode(m.labels) one AS position, label""",
        "current_labels": f"""
            SELECT l.text_id, l.dt, l.scene, l.task, l.label, l.score, l.threshold, l.rule, l.model_id,
                   l.threshold_version, t.source, t.source_id, t.event_time, t.text, t.text_b
            FROM {schema}.labels l JOIN {schema}.texts t ON t.text_id = l.text_id AND t.dt = l.dt""",
        "label_wide": f"""
            SELECT t.text_id, t.dt, t.scene, t.text, t.text_b, {_columns(tasks)}
            FROM {schema}.texts t LEFT JOIN {schema}.labels l ON l.text_id = t.text_id AND l.dt = t.dt
            GROUP BY t.text_id, t.dt, t.scene, t.text, t.text_b""",
    }


def _columns(tasks: Mapping[str, TaskSettings]) -> str:
    """A boolean column a label; names come from the settings, where they are letters, digits and _ only."""
    columns = [
        f"coalesce(bool_or(l.task = '{task}' AND l.label = '{label}'), false) AS {task}_{label}"
        for task, settings in tasks.items()
        for label in settings.labels
    ]
    return ", ".join(columns) or "count(l.label) AS labels"
