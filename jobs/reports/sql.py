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
from jobs.labels.label_decisions import Decider, count_undecidable, decide_labels, deciders
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
    moment = _parsed_moment(as_of, settings.session.timezone)
    label_as_of(lake, settings.tasks, moment).createOrReplaceTempView("label_as_of")


def register_functions(lake: Lake, settings: Settings) -> None:
    """Make `student_probs(task, text)` known to the session: the promoted students, asked about any text."""
    promoted = {name: registry.model(lake, one.model_id) for name, one in registry.live(lake).items()}
    students = {name: Served(model.model_id, registry.files(lake, model)) for name, model in promoted.items()}
    function = student_probs(students, settings.cleaning, settings.scoring.engine)
    lake.spark.udf.register("student_probs", arrow_udf(function, "array<float>"))  # type: ignore[call-overload]


def _parsed_moment(as_of: str | None, zone: str) -> datetime | None:
    """The time that `--as-of` says, of the session's zone where it says none; None where nothing was said.

    Raises:
        SettingsError: It is no time.
    """
    if as_of is None:
        return None
    try:
        moment = datetime.fromisoformat(as_of)
    except ValueError:
        raise SettingsError(f"--as-of: got {as_of!r}, expected a time such as 2026-03-01T08:00:00") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))


def label_as_of(lake: Lake, tasks: Mapping[str, TaskSettings], moment: datetime | None) -> DataFrame:
    """The labels as the promotions in force at a moment decide them, from the stored scores: no inference.

    Days that the model then in force did not score have none (`not_scored` tells them), and so have single texts that
    it did not (`_texts_not_scored`).
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


def _texts_not_scored(
    lake: Lake, tasks: Mapping[str, TaskSettings], promoted: Mapping[str, Decider],
    left_out: Mapping[str, frozenset[date]],
) -> list[str]:  # fmt: skip
    """How many texts which model did not score, of the days that are not left out.

    They came late and stand without a label; or they were cleaned anew since, and are decided by the earlier wording.
    """
    asked = {name: ~daily.on_days(left_out[name]) if name in left_out else F.lit(True) for name in promoted}
    texts, scores = lake.read(tables.TEXTS), lake.read(tables.STUDENT_SCORES)
    found = count_undecidable(texts, scores, tasks, asked, promoted)
    return [f"{count} texts have {problem} of {model}" for (model, problem), count in sorted(found.items())]


def _tell_not_scored(context: Context, as_of: str | None, console: Console) -> None:
    """Print what `label_as_of` says nothing of: no row of it is no negative."""
    lake, tasks = context.lake, context.settings.tasks
    moment = _parsed_moment(as_of, context.settings.session.timezone)
    promoted = deciders(lake, tasks, registry.live(lake, moment))
    if not promoted:
        return
    left_out = not_scored(lake, tasks, promoted)
    told = [f"not scored for {name}, and left out: {made_days.in_words(left_out[name])}" for name in sorted(left_out)]
    told += [f"not scored: {one}" for one in _texts_not_scored(lake, tasks, promoted, left_out)]
    for line in told:
        console.print(f"label_as_of: {line}", style="yellow", markup=False, highlight=False, soft_wrap=True)


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
    if "label_as_of" in statement.lower():
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
