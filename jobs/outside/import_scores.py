"""Scores from outside in: files and tables -> a teacher in `models`, with its `teacher_scores`, thresholds and rows.

A teacher's scores never change under the students that learnt from them: texts that it has not scored are added, and a
text that it scored otherwise is set aside. The same scores twice change nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import TypeAdapter, ValidationError

from jobs.lake import registry, storage_options, tables, text_queries, threshold_queries
from jobs.lake.commits import Scope
from jobs.lake.registry import EXTERNAL, RegisteredModel
from jobs.outside import import_checks, teacher_of_scores
from jobs.outside.ask import one_task
from jobs.outside.gathering import Gathered, gather, unknown_labels
from jobs.outside.score_sources import ScoreSource, sources_at
from jobs.outside.teacher_of_scores import OutsideTeacher
from jobs.runtime.context import Context
from jobs.runtime.job import Done, Job, Work
from models import digests
from models.errors import DataError, SettingsError
from models.evaluation.predictions import first_threshold
from models.settings_base import Name
from udfs.cleaning import cleaner_of
from udfs.readers.reading import in_batches
from udfs.score_parsing import PARSED
from udfs.score_settings import SCALES
from udfs.score_values import ScoreRules

IMPORTING_VERSION = "1"
"""Raised where the same scores, settings and texts give other rows."""
_TELLING = 20
"""Scores, all of them from 0 to 1, that are more likely probabilities than logits."""


@dataclass(frozen=True, slots=True)
class ScoreImport:
    """Scores to import.

    Attributes:
        teacher: Whose.
        rules: What makes records scores.
        sources: Where they lie.
        fingerprint: A digest of all that decides what comes of them.
    """

    teacher: OutsideTeacher
    rules: ScoreRules
    sources: tuple[ScoreSource, ...]
    fingerprint: str


def plan(context: Context) -> Work[ScoreImport]:
    """Survey the files, or look at the tables, unless the very same were imported."""
    task, options = one_task(context, "import-scores"), context.request.options
    rules = _rules(context, task, options.get("scale"))
    teacher = _teacher(context, task, str(options["name"]))
    reached = storage_options.resolver(context.settings.lake, lambda: context.spark)
    sources = sources_at(context.lake, [str(one) for one in options["places"]], rules, reached)
    decides = {
        "importing": IMPORTING_VERSION, "teacher": teacher.model_id, "scale": rules.scale,
        "sources": sorted(one.identity for one in sources),
        "mapping": rules.settings.model_dump(mode="json", exclude={"scale"}), "labels": rules.labels,
        "kind": rules.kind, "rules": context.settings.cleaning.version, **context.versions(tables.TEXTS),
    }  # fmt: skip
    fingerprint = digests.of_json(decides, chars=32)
    imported = not options.get("again") and context.unchanged(tables.TEACHER_SCORES, teacher.scope, fingerprint)
    if teacher.registered is not None and imported and teacher_of_scores.is_compared(context, teacher):
        return Work()
    if not any(one.records for one in sources):
        return Work()  # nothing was asked for
    steps = tuple(f"import the scores of {one.place} as {teacher.model_id}" for one in sources)
    return Work(steps, ScoreImport(teacher, rules, tuple(sources), fingerprint))


def _rules(context: Context, task: str, scale: str | None) -> ScoreRules:
    settings, declared = context.settings.outside_scores, context.settings.task(task)
    if scale is not None and scale not in SCALES:
        raise SettingsError(f"--scale: got {scale!r}, expected {' or '.join(SCALES)}")
    others = {label for name, one in context.settings.tasks.items() if name != task for label in one.labels}
    return ScoreRules(
        settings, task, declared.kind, declared.label_names, frozenset(others - {*declared.labels}),
        next((one for one in SCALES if one == scale), settings.scale),
    )  # fmt: skip


def _teacher(context: Context, task: str, given: str) -> OutsideTeacher:
    try:
        name = TypeAdapter[str](Name).validate_python(given.removeprefix(registry.external_id(task, "")))
    except ValidationError as error:
        raise SettingsError(f"--name: {error.errors(include_url=False)[0]['msg']}") from None
    model_id, declared = registry.external_id(task, name), context.settings.task(task)
    registered = registry.known_model(context.lake, model_id)
    if registered is not None and not registered.is_external:
        raise SettingsError(f"--name: {model_id} was trained here; give the scores from outside another name")
    if registered is not None and (dropped := [one for one in registered.labels if one not in declared.labels]):
        raise SettingsError(
            f"--name: {model_id} knows {', '.join(dropped)}, which the settings of {task} do not declare any more; "
            "import under another --name"
        )
    layout = text_queries.date_layout(context.lake, context.settings.rounds)
    return OutsideTeacher(model_id, task, declared, layout, registered)


def execute(context: Context, work: ScoreImport) -> Done | None:
    """Parse and gather; set aside what cannot be used; make the teacher, or add what it had not said before.

    None where it had said all of it.
    """
    lake, teacher, share = context.lake, work.teacher, work.rules.settings.max_set_aside_share
    version = lake.log.version(tables.TEACHER_SCORES)
    records = _parsed(context, work)
    texts = teacher_of_scores.known_texts(lake, records)
    before = teacher_of_scores.scored_before(lake, teacher.registered) if teacher.registered else None
    found = gather(records, texts, work.rules, before)
    reasons = found.reasons
    outcomes = import_checks.outcomes(records, reasons, found.missing, work.sources)
    left_out = [one for one in outcomes if one.is_refused(share)]
    kept = pc.invert(pc.is_in(records.column("file"), pa.array([one.place for one in left_out], pa.string())))
    if left_out:  # what is left of a text may be less than all
        found = gather(records.filter(kept), texts, work.rules, before)
        reasons[kept.to_numpy()] = found.reasons
        outcomes = import_checks.outcomes(records, reasons, found.missing, work.sources)
    _check_labels(work, records.filter(kept), found)
    once = f"{context.job}/{work.fingerprint}"
    set_aside = import_checks.set_aside(lake, records, reasons, context.stamp(), once)
    _warn_of_scale(context, work, found)
    counts = {"read": sum(one.records for one in outcomes), "texts": len(found.fresh.hashes), "known": found.known}
    told = import_checks.counts(outcomes, left_out)
    for name, number in sorted(told.items()):
        context.reporter.say(f"  {number:,} {import_checks.in_words(name)}")
    error = import_checks.refusal(left_out, share, everything=len(left_out) == len(outcomes))
    if error is not None and not len(found.fresh.hashes):
        return Done(counts=counts | told, headline="texts", reason=str(error), error=error)
    # Where files are left out the work is not done: the same command ends the same way again.
    _commit(context, work, found, version, None if left_out else work.fingerprint)
    verdict = None if teacher_of_scores.is_compared(context, teacher) else teacher_of_scores.compare(context, teacher)
    for line in verdict.lines if verdict is not None else ():
        context.reporter.say(line)
    if not (len(found.fresh.hashes) or set_aside or verdict or error):
        return None
    sentences = [verdict.sentence] if verdict else []
    return Done(
        counts=counts | told, headline="texts", error=error,
        reason="; ".join([*sentences, *([str(error)] if error else [])]) or None,
    )  # fmt: skip


def _parsed(context: Context, work: ScoreImport) -> pa.Table:
    """Every record (`PARSED`) of the sources."""
    cleaner = cleaner_of(context.settings.cleaning.model_dump_json())
    rows = chain.from_iterable(one.parsed(work.rules, cleaner) for one in work.sources)
    records = pa.Table.from_batches(in_batches(rows, PARSED), PARSED)
    if records.num_rows != (counted := sum(one.records for one in work.sources)):
        raise DataError(
            f"teacher import-scores: there were {counted} records when they were counted, {records.num_rows} were "
            "parsed; nothing was imported: something changed under way, run it again"
        )
    return records.combine_chunks()


def _check_labels(work: ScoreImport, records: pa.Table, found: Gathered) -> None:
    """Refuse scores of labels that the teacher does not know, and a single class.

    Raises:
        DataError: There are such.
    """
    known = work.teacher.registered
    if known is not None and (more := unknown_labels(records, work.rules, known.labels)):
        raise DataError(
            f"teacher import-scores: {known.model_id} knows {', '.join(known.labels)}, got scores of "
            f"{', '.join(more)} too; import them under another --name, or map these to null in outside_scores.labels"
        )
    if known is None and work.rules.kind == "multi_class" and len(found.fresh.labels) == 1:
        raise DataError(
            f"teacher import-scores: of the classes of task {work.teacher.task} only {found.fresh.labels[0]} is "
            "scored; bring a score for each class, or the class that holds"
        )


def _warn_of_scale(context: Context, work: ScoreImport, found: Gathered) -> None:
    logits = found.fresh.logits
    if work.rules.scale == "logit" and logits.size >= _TELLING and bool(((logits >= 0) & (logits <= 1)).all()):
        context.reporter.say(
            f"  [yellow]warning[/yellow] all {logits.size:,} logits lie from 0 to 1: if they are probabilities, import "
            "them with --scale probability under another --name"
        )


def _commit(context: Context, work: ScoreImport, found: Gathered, version: int, fingerprint: str | None) -> None:
    """Add the scores; a new teacher's row in `models` comes last, and says that all else is there."""
    lake, teacher, stamp = context.lake, work.teacher, context.stamp(fingerprint)
    rows = teacher_of_scores.score_rows(teacher.model_id, found.fresh)
    if teacher.registered is None:
        _make(context, work, found, partial(lake.replace_rows, tables.TEACHER_SCORES, rows, stamp, teacher.scope))
    elif rows.num_rows:
        lake.append_rows_after(tables.TEACHER_SCORES, rows, stamp, version, teacher.scope)
    elif lake.catalog.left_to_spark(tables.TEACHER_SCORES) is None:  # so that the next plan need not look again
        lake.append_files_after([], tables.TEACHER_SCORES, stamp, version, teacher.scope)


def _make(context: Context, work: ScoreImport, found: Gathered, put_scores: partial[Any]) -> None:
    """Everything of a new teacher. Its scores replace those of an import that was killed before its row was there."""
    lake, teacher, labels = context.lake, work.teacher, found.fresh.labels
    scope = Scope(column="round_id", values=(teacher.model_id,))
    lake.replace_rows(
        tables.ROUND_SAMPLES, teacher_of_scores.own_rows(context, teacher, labels), context.stamp(), scope
    )
    stamp = context.stamp()
    there = {label for _, label in threshold_queries.read(lake, teacher.model_id, 1)}  # of an import that was killed
    lacking = tuple(label for label in labels if label not in there)
    first = threshold_queries.first_rows(teacher.model_id, lacking, first_threshold(work.rules.kind, len(labels)))
    if first:
        lake.append_rows(tables.THRESHOLDS, threshold_queries.signed(first, stamp), stamp)
    put_scores()
    model = RegisteredModel(
        teacher.model_id, teacher.task, EXTERNAL, "teacher", labels, None, None, "", context.settings.cleaning.version
    )
    told = {"name": teacher.model_id.rpartition("/")[2], "scale": work.rules.scale}
    registry.register(lake, model, settings=json.dumps(told, ensure_ascii=False), stamp=stamp)


JOB = Job(
    "teacher import-scores", plan, execute, reads=(tables.TEXTS, tables.ANNOTATIONS, tables.MODELS),
    writes=(
        tables.REJECTED, tables.ROUND_SAMPLES, tables.THRESHOLDS, tables.TEACHER_SCORES, tables.MODELS,
        tables.EVALUATIONS, tables.LABEL_TRUST,
    ),
    needs_session=False,
)  # fmt: skip
