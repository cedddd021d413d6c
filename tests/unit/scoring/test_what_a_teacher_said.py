"""A teacher's scores as others read them: without the texts that it could not score, also in older tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pyarrow as pa

from jobs.lake import tables, teacher_scores
from jobs.lake.store import Lake
from jobs.scoring.score_teacher import halved
from tests.support import add, teacher_score
from udfs.teacher_scoring import Compute

TEACHER = "praise/teacher/a"
FAILED = {"logits": [], "error": "not_finite", "computed_by": "torch cpu float32 512"}


def test_a_text_without_a_score_is_left_out_and_counted(bare_lake: Callable[..., Lake]) -> None:
    lake = bare_lake(tables.TEACHER_SCORES)
    good = [teacher_score(TEACHER, text, 0.9) | {"computed_by": "torch cpu float32 256"} for text in ("嗯", "好")]
    other = teacher_score("praise/teacher/b", "坏", 0.9) | FAILED
    add(lake, tables.TEACHER_SCORES, *good, teacher_score(TEACHER, "坏", 0.9) | FAILED, other)
    kept = teacher_scores.arrow(lake, TEACHER, "text_hash", "logits")
    assert set(kept.column("text_hash").to_pylist()) == {row["text_hash"] for row in good}
    assert teacher_scores.errors(lake, TEACHER) == {"not_finite": 1}
    assert teacher_scores.computed_by(lake, TEACHER) == ["torch cpu float32 256", "torch cpu float32 512"]


def test_rows_of_before_these_columns_count_as_scored(bare_lake: Callable[..., Lake]) -> None:
    fields = [field for field in tables.TEACHER_SCORES.columns if field.name not in ("error", "computed_by")]
    older = replace(tables.TEACHER_SCORES, columns=pa.schema(fields))
    lake = bare_lake(older)
    add(lake, older, teacher_score(TEACHER, "嗯", 0.9))
    missing = lake.catalog.outdated()
    assert set(missing[tables.TEACHER_SCORES.name]) == {"error", "computed_by"}
    lake.catalog.add_columns(tables.TEACHER_SCORES, missing[tables.TEACHER_SCORES.name])
    assert teacher_scores.arrow(lake, TEACHER, "text_hash").num_rows == 1
    assert teacher_scores.errors(lake, TEACHER) == {}
    assert teacher_scores.computed_by(lake, TEACHER) == []


def test_halved_batches_are_told_of_what_computed_as_asked_for() -> None:
    asked = Compute("cuda", precision="bfloat16", tokens=32768)
    assert halved(["torch cpu float32 512", "torch cuda bfloat16 32768"], asked) is None
    assert halved(["torch cuda bfloat16 8192", "torch cuda bfloat16 16384"], asked) == 8192
