"""Files of texts -> `raw_texts`, or `rejected` with a reason; `loads` keeps what became of each file.

The same files again add nothing, and a record that was delivered before is counted and not kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime

from jobs.ingestion import driver_load, load_checks, repetitions, spark_load
from jobs.ingestion.arrival import Arrival
from jobs.ingestion.driver_load import MarkedRows
from jobs.ingestion.load_plan import COMMITTED, Batch, LoadPlan, NewFile, plan, plan_batch
from jobs.ingestion.load_rows import batch_rows
from jobs.ingestion.source_files import missing_files
from jobs.ingestion.spark_load import MarkedFrame
from jobs.lake import loads, tables
from jobs.runtime.context import Context
from jobs.runtime.job import Done, Job
from models.errors import DataError, PingtiError, RefusedError

COUNTS = ("read", "raw", "rejected", "repeated")


def execute(context: Context, work: LoadPlan) -> Done | None:
    """Load batch by batch: of each, every record becomes a raw text, a rejected one, or is counted as repeated."""
    counts: Counter[str] = Counter()
    refused: list[str] = []
    over: list[str] = []
    did = 0
    for batch in _batches(context, work):
        left_out: Mapping[str, str] = {}
        if batch.files or batch.done or batch.gone:
            try:
                counted, left_out = load(context, batch)
            except PingtiError as failure:
                if not did:
                    raise
                raise type(failure)(f"{failure}. That is of this batch: {did} before it are loaded") from None
            counts += counted
            over += left_out.values()
            did += bool(counted)
        taken = (file for file in batch.files if file.listed.source_name not in left_out)
        surveys = [file.survey for file in taken if file.survey.refused]
        refused += [f"{survey.path} ({survey.refused}: {survey.detail})" for survey in surveys]
    told = {name: counts[name] for name in COUNTS}
    reason, error = _problems(refused, over, work.missing)
    if not did:
        if over:
            raise DataError(_left_out(over))
        if error is None:
            return None
    return Done(counts=told, headline="read", reason=reason, error=error)


def _problems(
    refused: Sequence[str], over: Sequence[str], missing: Sequence[str]
) -> tuple[str | None, PingtiError | None]:
    """What a load that was made leaves to be mended: a reason for `runs`, and the error that ends the job."""
    others = [_left_out(over)] if over else []
    others += [missing_files(missing)] if missing else []
    if not refused:
        told = ". ".join(others)
        return (told, DataError(f"{told}. All else is loaded")) if others else (None, None)
    reason = f"set aside whole: {', '.join(refused)}"
    also = "".join(f". {one}" for one in others)
    return reason, RefusedError(
        f"ingest: {reason}; all else is loaded. Mend the files, or take them away; what is file_changed on purpose is "
        f"taken by --replace-file NAME{also}"
    )


def _left_out(over: Sequence[str]) -> str:
    return (
        f"ingest: {'; '.join(dict.fromkeys(over))}; none of these was loaded: `pingti check` shows the reasons; mend "
        "the mapping or the files, or raise the limit"
    )


def _batches(context: Context, work: LoadPlan) -> Iterator[Batch]:
    """The batch that was planned, or batches that are surveyed when their turn comes."""
    if work.batch is not None:
        yield work.batch
    settings = context.settings
    expected, step = {file.path for file in work.names}, settings.ingest.batch_files
    for at in range(0, len(work.names), step):
        yield plan_batch(context.lake, settings.sources, work.names[at : at + step], expected)


def load(context: Context, batch: Batch) -> tuple[Counter[str], dict[str, str]]:
    """Load a batch, in a commit of each table, but for the sources too much of which would be rejected.

    Returns:
        What was read, and what became of it, nothing where nothing was left; and the sources that were left out, with
        the reason: their files are looked at again next time.

    Raises:
        DataError: A file changed under way.
    """
    arrival = Arrival(datetime.now(UTC), context.settings.session.timezone)
    outcomes: list[tuple[NewFile, Counter[str]]] = []
    left_out: dict[str, str] = {}
    if batch.files:
        load_checks.still_new(context.lake, batch.files)
        outcomes = _load_records(context, batch, arrival, left_out)
        if not (outcomes or batch.done or batch.gone):
            return Counter(), left_out
    rows = batch_rows(batch, outcomes, context.run_id, arrival.day)
    # What an earlier run committed and did not come to record is written down, and is not of this run's reading.
    counts = Counter({name: sum(row[name] for row in rows[: len(rows) - len(batch.gone)]) for name in loads.COUNTS})
    counts["read"] = counts.pop("records")
    stamp = context.stamp(counts={name: counts[name] for name in COUNTS})
    context.lake.append_rows_after(tables.LOADS, rows, stamp, batch.versions[tables.LOADS.name])
    return counts, left_out


def _load_records(
    context: Context, batch: Batch, arrival: Arrival, left_out: dict[str, str]
) -> list[tuple[NewFile, Counter[str]]]:
    """Read and commit the records of a batch's files; what became of each file's.

    Rejected ones first: a load whose raw texts are there has all its rows. Sources too much of which would be rejected
    are added to `left_out`, each with the reason, and the others read again: what repeats a record that is not loaded
    is no repetition.
    """
    settings = context.settings.ingest
    files = [file for file in batch.files if file.listed.source_name not in left_out]
    if not files:
        return []
    with _marked(context, files, arrival) as marked:
        counts = marked.counts()
        outcomes = [(file, counts.get(file.load_id, Counter())) for file in files]
        load_checks.all_read(outcomes)
        over = load_checks.over_rejected(outcomes, settings.max_rejected_share)
        if not over:
            load_checks.unchanged(context.lake, context.settings.sources, files)
            _append(marked, batch, arrival)
    if over:
        left_out |= over
        return _load_records(context, batch, arrival, left_out)
    for _, count in outcomes:
        count[repetitions.REJECTED] += count.pop(repetitions.ERASED, 0)
    return outcomes


def _append(marked: MarkedRows | MarkedFrame, batch: Batch, arrival: Arrival) -> None:
    """Commit the rejected records, then the raw texts."""
    for table, outcomes in (
        (tables.REJECTED, (repetitions.REJECTED, repetitions.ERASED)),
        (tables.RAW_TEXTS, (repetitions.RAW,)),
    ):
        marked.append(table, outcomes, arrival, batch.versions[table.name])


def _marked(
    context: Context, files: Sequence[NewFile], arrival: Arrival
) -> AbstractContextManager[MarkedRows] | AbstractContextManager[MarkedFrame]:
    """The files' records with their outcomes: by the driver alone where they are few, else by Spark."""
    if driver_load.fits(context, files):
        return driver_load.marked_records(context, files, arrival)
    context.start_session()
    return spark_load.marked_records(context, files, arrival)


JOB = Job("ingest", plan, execute, writes=COMMITTED, count_tables=(tables.LOADS,), needs_session=False)
