"""What became of each file or table of scores, and which are left out: those of which little could be used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.lake import erasing, tables
from jobs.lake.commits import Stamp
from jobs.lake.store import Lake
from jobs.outside.gathering import DETAILS, Reasons
from jobs.outside.score_sources import SECTION, ScoreSource
from models.errors import RefusedError
from udfs.set_aside import SCORE

OTHER_TASKS, LEFT_OUT = "other_tasks", "left_out"
_RANGE, _UNDECODED, _INCOMPLETE = (f"{SCORE}{name}" for name in ("out_of_range", "not_utf8", "incomplete"))


@dataclass(frozen=True, slots=True)
class SourceOutcome:
    """What became of a file's or a table's records.

    Attributes:
        place: Where they are.
        records: How many.
        others: Those of other tasks.
        reasons: Of those that are set aside, how many by each reason.
        details: A detail of each reason.
    """

    place: str
    records: int
    others: int
    reasons: Counter[str]
    details: dict[str, str]

    @property
    def used(self) -> int:
        """Records that give scores."""
        return self.records - self.others - self.reasons.total()

    def is_refused(self, share: float) -> bool:
        """Whether more than a share of the records is set aside, or none of them gives anything."""
        return self.reasons.total() > share * self.records or (self.used == 0 and self.records > 0)

    def told(self) -> str:
        """In words, what is wrong and what may mend it; never a text."""
        if not self.reasons:
            return f"{self.place}: all of its {self.records} records are of other tasks"
        parts = [
            f"{name.removeprefix(SCORE)} {number}{f' ({self.details[name]})' if name in self.details else ''}"
            for name, number in self.reasons.most_common()
        ]
        hint = ""
        if 2 * self.reasons[_UNDECODED] > self.records:
            hint = f"; {SECTION}.encoding: gb18030 reads what Chinese Excel saves"
        return f"{self.place}: {self.reasons.total()} of {self.records} records set aside: {', '.join(parts)}{hint}"


def outcomes(
    records: pa.Table, reasons: Reasons, missing: Mapping[str, int], sources: Sequence[ScoreSource]
) -> list[SourceOutcome]:
    """What became of each source.

    Args:
        records: All of their records (`udfs.score_parsing.PARSED`).
        reasons: Why each gives nothing, (records,).
        missing: How many texts lack a score of each label.
        sources: In the order in which they are told.
    """
    known = {f"{SCORE}{name}": detail for name, detail in DETAILS.items()}
    if missing:
        lacking = ", ".join(f"{label} of {count:,} texts" for label, count in sorted(missing.items()))
        known[_INCOMPLETE] = f"{known[_INCOMPLETE]}: no score of {lacking}"
    of = {source.place: SourceOutcome(source.place, source.records, 0, Counter(), dict(known)) for source in sources}
    others = Counter[str]()
    columns = (records.column(name).to_pylist() for name in ("file", "detail"))
    silent = records.column("scores").is_null().to_pylist()
    for place, detail, says_nothing, reason in zip(*columns, silent, reasons, strict=True):
        if reason is not None:
            of[place].reasons[reason] += 1
            if detail is not None:
                of[place].details[reason] = detail
        elif says_nothing:
            others[place] += 1
    return [replace(outcome, others=others[place]) for place, outcome in of.items()]


def set_aside(lake: Lake, records: pa.Table, reasons: Reasons, stamp: Stamp, once: str) -> int:
    """Add to `rejected` what is set aside for the first time, in a commit of a name; how many records that are."""
    key = ("sha256", "file", "position")
    bad = records.append_column("why", pa.array(reasons, pa.string())).filter(
        pa.array(np.array([one is not None for one in reasons], np.bool_))
    )
    if not bad.num_rows:
        return 0
    of_scores = pc.starts_with(pc.field("reason"), SCORE)
    there = {tuple(row[name] for name in key) for row in lake.rows(tables.REJECTED, *key, where=of_scores)}
    day = datetime.now(ZoneInfo(lake.timezone)).date()
    # Which of those without a text are an erased one's, their bytes alone may tell.
    silent = {f"{SCORE}unknown_text"} if erasing.erased_ids(lake) is not None else set()
    rows = [
        {
            **{name: row[name] for name in ("file", "position", "length", "sha256", "detail")}, "arrived_dt": day,
            "raw": None if row["why"] in silent else row["raw"], "reason": row["why"],
            "load_id": row["sha256"][:32], "run_id": stamp.run_id,
        }
        for row in bad.to_pylist()
        if tuple(row[name] for name in key) not in there
    ]  # fmt: skip
    if not rows:
        return 0
    return lake.append_rows(tables.REJECTED, rows, stamp, once=once).rows


def counts(outcomes: Sequence[SourceOutcome], left_out: Collection[SourceOutcome]) -> dict[str, int]:
    """Of all sources: the records by the reason they were set aside for, those of other tasks, those left out."""
    total = sum((outcome.reasons for outcome in outcomes), Counter[str]())
    others = sum(outcome.others for outcome in outcomes)
    unused = sum(outcome.used for outcome in left_out)
    return dict(total) | ({OTHER_TASKS: others} if others else {}) | ({LEFT_OUT: unused} if unused else {})


def in_words(count: str) -> str:
    """A count of `counts`, as it is said of a number of records."""
    if count == OTHER_TASKS:
        return "records of other tasks"
    if count == LEFT_OUT:
        return "records left out with their file"
    return f"records set aside: {count.removeprefix(SCORE)}"


def refusal(left_out: Sequence[SourceOutcome], share: float, *, everything: bool) -> RefusedError | None:
    """The error that an import ends with once all else is in; None where nothing was left out."""
    if not left_out:
        return None
    told = "; ".join(outcome.told() for outcome in left_out)
    return RefusedError(
        f"teacher import-scores: {told}. Over {SECTION}.max_set_aside_share {share}, or nothing to use: nothing of it "
        f"is in{'' if everything else ', all else is'}. Mend the section {SECTION}, or the scores"
    )
