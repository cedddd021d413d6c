"""`pingti sql "…"`: a statement over the tables and views, and a readable answer."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from zoneinfo import ZoneInfo

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.functions import arrow_udf
from rich.console import Console
from rich.table import Table
from rich.text import Text

from jobs.days import made_days
from jobs.days.live_files import LiveFiles
from jobs.labels.label_decisions import Decider, decide_labels, deciders
from jobs.lake import registry, tables, views
from jobs.lake.store import Lake
from jobs.reports import queries_only
from jobs.runtime import daily
from jobs.runtime.context import Context
from jobs.settings import Settings
from models import label_dependencies
from models.errors import SettingsError
from models.tasks import TaskSettings
from udfs.sql_functions import student_probs
from udfs.student_scoring import Served

_WIDEST = 60


def prepare(lake: Lake, settings: Settings, as_of: str | None) -> None:
    """Register tables and views; `label_as_of` holds the labels by what was in force at that moment (now, if none)."""
    views.register(lake, settings.tasks)
    register_functions(lake, settings)
    moment = _moment(as_of, settings.session.timezone)
    label_as_of(lake, settings.tasks, moment).createOrReplaceTempView("label_as_of")


def register_functions(lake: Lake, settings: Settings) -> None:
    """Make `student_probs(task, text)` known to the session: the promoted students, asked about any text."""
    promoted = {name: registry.model(lake, one.model_id) for name, one in registry.live(lake).items()}
    students = {name: Served(model.model_id, registry.files(lake, model)) for name, model in promoted.items()}
    function = student_probs(students, settings.cleaning, settings.scoring.engine)
    lake.spark.udf.register("student_probs", arrow_udf(function, "array<float>"))  # type: ignore[call-overload]


def _moment(text: str | None, zone: str) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise SettingsError(f"--as-of: got {text!r}, expected a time such as 2026-03-01T08:00:00") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))


def label_as_of(lake: Lake, tasks: Mapping[str, TaskSettings], moment: datetime | None) -> DataFrame:
    """The labels as the promotions in force at a moment decide them, from the stored scores: no inference.

    Days that the model then in force did not score have none (`not_scored` tells them).
    """
    promoted = deciders(lake, tasks, registry.live(lake, moment))
    if not promoted:
        return lake.frame(tables.LABELS, [])
    found = decide_labels(lake.read(tables.TEXTS), lake.read(tables.STUDENT_SCORES), tasks, promoted)
    for name, days in not_scored(lake, tasks, promoted).items():
        found = found.where(~((F.col("task") == name) & daily.on_days(days)))
    return found


def not_scored(
    lake: Lake, tasks: Mapping[str, TaskSettings], promoted: Mapping[str, Decider]
) -> dict[str, frozenset[date]]:
    """By task, the days of texts without any score of a model that decides it, or that its labels depend on."""
    there = {cell.day for cell in LiveFiles(lake, tables.TEXTS).signatures()}
    scored = LiveFiles(lake, tables.STUDENT_SCORES).signatures()
    days = {name: {cell.day for cell in scored if cell.part == one.model.model_id} for name, one in promoted.items()}
    found = {
        name: frozenset(
            day for one in label_dependencies.dependencies(tasks, name) & days.keys() for day in there - days[one]
        )
        for name in promoted
    }
    return {name: missing for name, missing in found.items() if missing}


def _tell_not_scored(context: Context, as_of: str | None, console: Console) -> None:
    lake, tasks = context.lake, context.settings.tasks
    promoted = deciders(lake, tasks, registry.live(lake, _moment(as_of, context.settings.session.timezone)))
    for name, days in sorted(not_scored(lake, tasks, promoted).items()):
        told = f"label_as_of: not scored for {name}, and left out: {made_days.in_words(days)}"
        console.print(told, style="yellow", markup=False, highlight=False, soft_wrap=True)


def run(context: Context, statement: str, limit: int, as_of: str | None, console: Console) -> None:
    """Run a query and print at most `limit` rows of its answer.

    Raises:
        SettingsError: It is no query, or cannot be run, or does not hold for every row.
    """
    names = [*tables.BY_NAME, *views.queries("", context.settings.tasks), "label_as_of"]
    try:
        queries_only.check(context.spark, statement)
    except PySparkException as error:
        raise queries_only.described(error, names) from None
    prepare(context.lake, context.settings, as_of)
    if "label_as_of" in statement:
        _tell_not_scored(context, as_of, console)
    try:
        frame = context.spark.sql(statement)
        # By Arrow: Python's rows have times of this machine's zone, whatever the session's is.
        answer = frame.limit(limit + 1).toArrow()
    except (PySparkException, Py4JError) as error:
        raise queries_only.described(error, names) from None
    table = Table(show_edge=False, header_style="bold")
    for name in frame.columns:
        table.add_column(Text(name), overflow="fold", max_width=_WIDEST)
    for row in zip(*(column.to_pylist() for column in answer.slice(0, limit).columns), strict=True):
        shown = [_shown(value, context.settings.session.timezone) for value in row]
        table.add_row(*map(Text, shown))  # a text may look like markup
    console.print(table)
    if answer.num_rows > limit:
        console.print(f"… only the first {limit} rows; --limit shows more", style="dim")


def _shown(value: object, zone: str) -> str:
    """A value as a cell: times in the session's zone, as Spark's own `show` has them."""
    if value is None:
        return "–"
    if isinstance(value, datetime) and value.tzinfo is not None:
        return f"{value.astimezone(ZoneInfo(zone)).replace(tzinfo=None)}"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, bytes | bytearray):
        return f"<{len(value)} bytes>"
    text = str(value)
    return text if len(text) <= 4 * _WIDEST else f"{text[: 4 * _WIDEST]}…"
