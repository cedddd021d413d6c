"""What became of each file of annotations, and which files are left out: those of which little could be used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from models.errors import RefusedError
from udfs.annotation_parsing import REASON_PREFIX
from udfs.readers.survey import Survey

SILENT, LEFT_OUT = "without_annotation", "left_out"
_UNDECODED = f"{REASON_PREFIX}not_utf8"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a file's records.

    Attributes:
        path: The file.
        records: How many it holds.
        silent: Those that say nothing: nobody was asked, or nobody answered.
        reasons: Of those that are set aside, how many by each reason.
        details: A detail of each reason.
    """

    path: str
    records: int
    silent: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    details: dict[str, str] = field(default_factory=dict)

    @property
    def used(self) -> int:
        """Records that give annotations."""
        return self.records - self.silent - self.reasons.total()

    def is_refused(self, share: float) -> bool:
        """Whether more than a share of the records is set aside, or none of them gives anything."""
        return self.reasons.total() > share * self.records or (self.used == 0 and self.records > self.reasons.total())

    def told(self) -> str:
        """In words, what is wrong with the file and what may mend it; never its content."""
        if not self.reasons:
            return (
                f"{self.path}: none of its {self.records} records holds an annotation; expected lists or choices: see "
                "annotations.shape and columns"
            )
        by_count = self.reasons.most_common()
        parts = [f"{name.removeprefix(REASON_PREFIX)} {number}{self._detail(name)}" for name, number in by_count]
        hint = ""
        if 2 * self.reasons[_UNDECODED] > self.records:
            hint = "; annotations.encoding: gb18030 reads what Chinese Excel saves"
        return f"{self.path}: {self.reasons.total()} of {self.records} records set aside: {', '.join(parts)}{hint}"

    def _detail(self, reason: str) -> str:
        return f" ({self.details[reason]})" if reason in self.details else ""


def outcomes(parsed: DataFrame, bad: DataFrame, surveys: Sequence[Survey]) -> list[Outcome]:
    """What became of each file, in the order of the surveys.

    Args:
        parsed: All records of the files (`PARSED`).
        bad: Those that are set aside, a row each.
        surveys: Of the files.
    """
    of = {survey.path: Outcome(survey.path, survey.records) for survey in surveys}
    counted = bad.groupBy("file", "reason").agg(F.count("*").alias("number"), F.min("detail").alias("detail"))
    for row in counted.collect():
        of[row["file"]].reasons[row["reason"]] = row["number"]
        if row["detail"] is not None:
            of[row["file"]].details[row["reason"]] = row["detail"]
    silent = parsed.where("reason is null and label is null").groupBy("file").count().collect()
    numbers = {row["file"]: row["count"] for row in silent}
    return [
        Outcome(path, outcome.records, numbers.get(path, 0), outcome.reasons, outcome.details)
        for path, outcome in of.items()
    ]


def counts(outcomes: Sequence[Outcome], left_out: Collection[Outcome]) -> dict[str, int]:
    """Of all files: the records by the reason they were set aside for, those that say nothing, those left out."""
    total = sum((outcome.reasons for outcome in outcomes), Counter[str]())
    silent = sum(outcome.silent for outcome in outcomes)
    unused = sum(outcome.used for outcome in left_out)
    return dict(total) | ({SILENT: silent} if silent else {}) | ({LEFT_OUT: unused} if unused else {})


def in_words(count: str) -> str:
    """A count of `counts`, as it is said of a number of records."""
    if count == SILENT:
        return "records without an annotation"
    if count == LEFT_OUT:
        return "records left out with their file"
    return f"annotations set aside: {count.removeprefix(REASON_PREFIX)}"


def refusal(left_out: Sequence[Outcome], share: float, *, everything: bool) -> RefusedError | None:
    """The error that an import ends with once all else is in; None where no file was left out."""
    if not left_out:
        return None
    told = "; ".join(outcome.told() for outcome in left_out)
    return RefusedError(
        f"annotate: {told}. Over annotations.max_set_aside_share {share}, or nothing to use: nothing of such a file is "
        f"in{'' if everything else ', all else is'}. Mend the annotations section, or the file"
    )
