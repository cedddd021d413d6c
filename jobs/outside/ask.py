"""The texts worth asking a teacher outside for -> a JSONL, CSV or TSV file; its answers come by `import_scores`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from jobs.lake import registry, tables, text_queries
from jobs.lake.registry import RegisteredModel
from jobs.lake.store import Lake
from jobs.outside.asked_texts import Asking, unscored_texts
from jobs.runtime.context import Context
from jobs.runtime.job import Done, Job, Work
from models.errors import SettingsError
from models.folders import replaced_file
from udfs.row_writing import writable, write_rows


@dataclass(frozen=True, slots=True)
class Question:
    """A file to write.

    Attributes:
        asking: Whose texts.
        file: Where.
        rows: The most of them; None: all.
    """

    asking: Asking
    file: Path
    rows: int | None


def plan(context: Context) -> Work[Question]:
    """Always writes: the file is of now."""
    file, rows = writable(Path(context.request.options["file"])), context.request.options.get("rows")
    name = one_task(context, "ask")
    settings = context.settings
    teacher = asked_teacher(context.lake, name, context.request.options.get("teacher"))
    layout = text_queries.date_layout(context.lake, settings.rounds)
    asking = Asking(name, settings.task(name), layout, settings.teacher_scoring, settings.rounds.seed, teacher)
    whose = f"that {teacher.model_id} has not scored" if teacher else "to ask a new teacher for"
    return Work((f"write the texts of {name} {whose} to {file}",), Question(asking, file, rows))


def one_task(context: Context, command: str) -> str:
    """The task that a command is about.

    Raises:
        SettingsError: It is about several.
    """
    names = context.tasks()
    if len(names) != 1:
        raise SettingsError(f"teacher {command}: got the tasks {', '.join(names)}, expected one; name it by --task")
    return names[0]


def asked_teacher(lake: Lake, task: str, given: str | None) -> RegisteredModel | None:
    """The teacher outside of this name, or a task's newest one; None where it is yet to be made.

    Raises:
        SettingsError: The name is that of a teacher that was trained here.
    """
    if given is None:
        known = (model for model, _ in registry.with_settings(lake, task, "teacher") if model.is_external)
        return next(known, None)
    model_id = registry.external_id(task, given.removeprefix(registry.external_id(task, "")))
    found = registry.known_model(lake, model_id)
    if found is not None and not found.is_external:
        raise SettingsError(f"--teacher: {model_id} was trained here, `pingti score-teacher` asks it; name another")
    return found


def execute(context: Context, work: Question) -> Done:
    """Write beside and rename: the file is there whole, or as it was before."""
    unscored = unscored_texts(context.lake, work.asking)
    chosen = unscored if work.rows is None else unscored.slice(0, work.rows)
    columns = ["text_id", "text", *(["text_b"] if work.asking.declared.kind == "pair" else []), "scene"]
    with replaced_file(work.file) as partial:
        count = write_rows(partial, work.file.suffix, columns, _records(chosen.select(columns)))
    if count < unscored.num_rows:
        context.reporter.say(f"  {unscored.num_rows - count:,} more are to be asked for")
    return Done(counts={"texts": count, "unscored": unscored.num_rows}, headline="texts")


def _records(texts: pa.Table) -> Iterator[dict[str, str | None]]:
    for batch in texts.to_batches(4096):
        yield from batch.to_pylist()


JOB = Job(
    "teacher ask", plan, execute,
    reads=(tables.TEXTS, tables.MODELS, tables.ROUND_SAMPLES, tables.ANNOTATIONS, tables.TEACHER_SCORES),
    needs_session=False,
)  # fmt: skip
