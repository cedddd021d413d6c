"""What other teams query: views over the tables."""

from __future__ import annotations

from collections.abc import Mapping

from jobs.lake import tables
from jobs.lake.sql_text import identifier, literal
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
    """The views and what they select, each after those that it needs."""
    # A window, not max_by: DataFusion and DuckDB read the same words, and docs/readers.md gives them.
    in_force = f"""(
                SELECT * FROM (
                    SELECT *, row_number() OVER (PARTITION BY task ORDER BY from_ts DESC) AS place
                    FROM {schema}.promotions
                ) ordered WHERE place = 1) p"""
    need = "array<struct<task: string, model_id: string, threshold_version: int, withheld: array<string>>>"
    return {
        "student_scores_long": f"""
            SELECT s.text_id, s.dt, s.scene, m.task, s.model_id, one.label, s.probs[one.position] AS score, s.error
            FROM {schema}.student_scores s
            JOIN {schema}.models m ON m.model_id = s.model_id
            LATERAL VIEW posexplode(m.labels) one AS position, label""",
        "label_days": f"""
            SELECT d.dt, d.task, d.model_id, d.threshold_version, d.decided_at,
                   coalesce(p.model_id = d.model_id AND p.threshold_version = d.threshold_version
                       AND to_json(array_sort(coalesce(p.withheld, array()))) = d.withheld, false)
                   AND forall(coalesce(d.needs, array()), need -> CASE
                       WHEN need.model_id IS NULL THEN NOT exists(f.promoted, one -> one.task = need.task)
                       ELSE exists(f.promoted, one -> one = need) END) AS in_force
            FROM (
                SELECT dt, part AS task, max(made_at) AS decided_at,
                       get_json_object(max_by(about, made_at), '$.model_id') AS model_id,
                       cast(get_json_object(max_by(about, made_at), '$.threshold_version') AS int) AS threshold_version,
                       coalesce(get_json_object(max_by(about, made_at), '$.withheld'), '[]') AS withheld,
                       from_json(get_json_object(max_by(about, made_at), '$.needs'), '{need}') AS needs
                FROM {schema}.made_days WHERE table_name = 'labels' GROUP BY dt, part) d
            LEFT JOIN {in_force} ON p.task = d.task
            CROSS JOIN (
                SELECT collect_list(struct(p.task, p.model_id, p.threshold_version,
                                           array_sort(coalesce(p.withheld, array())) AS withheld)) AS promoted
                FROM {in_force}) f""",
        "current_labels": f"""
            SELECT l.text_id, l.dt, l.scene, l.task, l.label, l.score, l.threshold, l.rule, l.model_id,
                   l.threshold_version, t.source, t.source_id, t.event_time, t.text, t.text_b
            FROM {schema}.labels l JOIN {schema}.texts t ON t.text_id = l.text_id AND t.dt = l.dt
            JOIN {in_force}
                ON p.task = l.task AND p.model_id = l.model_id AND p.threshold_version = l.threshold_version
                    AND NOT coalesce(array_contains(p.withheld, l.label), false)""",
        "label_wide": f"""
            SELECT t.text_id, t.dt, t.scene, t.text, t.text_b, {_columns(tasks)}
            FROM {schema}.texts t
            LEFT JOIN {schema}.current_labels l ON l.text_id = t.text_id AND l.dt = t.dt
            LEFT JOIN (
                SELECT dt, collect_set(task) AS tasks FROM {schema}.label_days WHERE in_force GROUP BY dt
            ) d ON d.dt = t.dt
            GROUP BY t.text_id, t.dt, t.scene, t.text, t.text_b""",
    }


def _columns(tasks: Mapping[str, TaskSettings]) -> str:
    """A boolean column a label, null on days that are not decided by what is in force."""
    columns = [
        f"CASE WHEN array_contains(any_value(d.tasks), {literal(task)}) "
        f"THEN coalesce(bool_or(l.task = {literal(task)} AND l.label = {literal(label)}), false) END "
        f"AS {identifier(f'{task}_{label}')}"
        for task, settings in tasks.items()
        for label in settings.labels
    ]
    return ", ".join(columns) or "count(l.label) AS labels"
