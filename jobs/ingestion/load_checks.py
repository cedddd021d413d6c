"""What must hold before a load is committed; each check ends the run with nothing of the batch loaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from jobs.ingestion.file_survey import survey_files
from jobs.ingestion.load_plan import NewFile
from jobs.lake import loads
from jobs.lake.store import Lake
from models.errors import ConflictError, DataError
from udfs.readers.files import sized_now
from udfs.readers.sources import SourceSettings
from udfs.readers.survey import Content

Outcomes = Sequence[tuple[NewFile, Counter[str]]]


def still_new(lake: Lake, files: Sequence[NewFile]) -> None:
    """Nobody recorded these files since they were planned; whoever does from now on takes this run's turn.

    Raises:
        ConflictError: naming those that were.
    """
    now = loads.recorded(lake, [file.load_id for file in files])
    if taken := [file.survey.path for file in files if now.get(file.load_id, Counter()) != file.recorded]:
        raise ConflictError(
            f"ingest: another run loaded {', '.join(taken)} meanwhile; nothing was loaded, run it again"
        )


def all_read(outcomes: Outcomes) -> None:
    """As many records were read of each file as were counted by its bytes.

    Raises:
        DataError: naming the files of which it does not hold.
    """
    differing = [
        f"{file.survey.path} holds {file.left} new records by its bytes, {sum(counts.values())} were parsed"
        for file, counts in outcomes
        if file.left != sum(counts.values())
    ]
    if differing:
        raise DataError(f"ingest: {'; '.join(differing)}; nothing was loaded: a file changed under way, run it again")


def few_rejected(outcomes: Outcomes, share: float) -> None:
    """Of each source no more than a share of the records is rejected.

    A file refused whole is told by its name and ends the run with its own error, and a repeated record was weighed when
    it came first: they are no share of anything.

    Raises:
        DataError: naming the sources of which it does not hold.
    """
    bad: Counter[str] = Counter()
    weighed: Counter[str] = Counter()
    for file, counts in outcomes:
        if not file.survey.refused:
            rejected = file.rejected + counts["rejected"]
            bad[file.listed.source_name] += rejected
            weighed[file.listed.source_name] += rejected + counts["raw"]
    over = [
        f"sources.{name}: {bad[name]} of {total} records are rejected"
        for name, total in sorted(weighed.items())
        if bad[name] > share * max(total, 1)
    ]
    if over:
        raise DataError(
            f"ingest: {'; '.join(over)}, over ingest.max_rejected_share {share}; nothing was loaded: `pingti check` "
            "shows why; mend the source's settings or the files, or raise the limit"
        )


def unchanged(lake: Lake, sources: Mapping[str, SourceSettings], files: Sequence[NewFile]) -> None:
    """What was read is what was surveyed: each file is as it was listed, or begins with the same bytes.

    Raises:
        DataError: naming the files that are not.
    """
    touched = [
        file.listed._replace(known=Content(file.survey.size, file.survey.sha256))
        for file, now in zip(files, sized_now([file.survey.path for file in files]), strict=True)
        if not file.survey.refused
        and (now is None or (now.size, now.modified) != (file.survey.size, file.listed.modified))
    ]
    surveys = survey_files(lake, sources, touched)
    if changed := [survey.path for _, survey in surveys if survey.refused]:
        raise DataError(f"ingest: {', '.join(changed)} changed under way; nothing was loaded, run it again")
