"""From texts to ask for, by somebody's answers, to a student: the jobs between know no other teacher."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from jobs.labels import label, promote, thresholds
from jobs.lake import registry, tables, text_queries
from jobs.lake.store import Lake
from jobs.outside import ask, import_scores
from jobs.outside.asked_texts import Asking, unscored_texts
from jobs.outside.teacher_of_scores import known_texts
from jobs.rounds import compare, distil
from jobs.runtime.context import Context
from jobs.runtime.job import Done
from jobs.scoring import score, score_teacher
from jobs.settings import TeacherScoringSettings
from jobs.teachers import held_out, train_teacher
from models.errors import DataError
from models.rounds.date_layout import RoundSettings
from models.tasks import TaskSettings
from tests.support import annotation_row, context_of, day, do, fill, rule, sample_row, text_row

pytestmark = pytest.mark.spark

ROUNDS = {
    "threshold_days": 1, "test_days": 1, "gate_days": 1, "min_train_days": 1, "rounds": 2, "undistilled_margin": 1,
    "accept_weak_teacher": True,
}  # fmt: skip
STUDENT = {"epochs": 2, "filters": 8, "embedding": 8, "widths": [1, 2], "max_length": 31}
NOTHING = {"target": {"precision": 0, "recall": 0}}
FOUR_DAYS = 120


def settings(**student: Any) -> dict[str, Any]:
    task = {"scenes": ["live_chat"], "labels": {"asks": NOTHING, "got": NOTHING}, "student": STUDENT | student}
    return {
        "tasks": {"praise": task}, "rounds": ROUNDS, "thresholds": {"min_positives": 2},
        "gate": {"rare": "accept", "margin": 1}, "teacher_scoring": {"train_texts": 40},
    }  # fmt: skip


def context_for(lake: Lake, job: str, **options: Any) -> Context:
    return context_of(lake, job, options=options, **settings())


def texts_of(numbers: range) -> list[dict[str, Any]]:
    """Texts of four days in turn; some have 好, some 夸, some both."""
    words = {at: f"老师{'好' if at % 3 == 0 else ''}{'夸' if at % 4 == 0 else ''}{at}" for at in numbers}
    return [text_row(f"t{at}", word, dt=day(at % 4)) for at, word in words.items()]


def answered(lake: Lake, folder: Path) -> Path:
    """What somebody says of all that is asked for."""
    asked = folder / "ask.jsonl"
    do(ask.JOB, context_for(lake, "teacher ask", file=asked, rows=None, teacher=None))
    told = [json.loads(line) for line in asked.read_text("utf-8").splitlines()]
    rows = [{"text_id": one["text_id"], "asks": "好" in one["text"], "got": "夸" in one["text"]} for one in told]
    answers = folder / "answers.jsonl"
    answers.write_text("".join(f"{json.dumps(row)}\n" for row in rows), "utf-8")
    return answers


def imported(lake: Lake, *places: object, name: str = "gpt") -> Done | None:
    options = {"places": [str(one) for one in places], "name": name, "scale": None}
    return do(import_scores.JOB, context_for(lake, "teacher import-scores", **options))


def annotations_of(texts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Annotators answer every other text of each day."""
    return [
        annotation_row("praise", name, row["text_id"], word in row["text"], dt=row["dt"], text_hash=row["text_hash"])
        for row in texts[: FOUR_DAYS // 2]
        for name, word in (("asks", "好"), ("got", "夸"))
    ]


@pytest.mark.parametrize("annotated", [True, False])
def test_answers_from_outside_become_labels(annotated: bool, lake: Callable[..., Lake], tmp_path: Path) -> None:
    own, texts = lake(*tables.ALL), texts_of(range(FOUR_DAYS))
    fill(own, {tables.TEXTS: texts, tables.ANNOTATIONS: annotations_of(texts) if annotated else []})
    file = answered(own, tmp_path)
    done = imported(own, file)
    assert done is not None
    assert done.error is None
    teacher = registry.newest_teacher(own, "praise")
    assert (teacher.model_id, teacher.kind) == ("praise/teacher/gpt", "external")
    rows = [row for row in own.rows(tables.ROUND_SAMPLES) if row["round_id"] == teacher.model_id]
    assert len(rows) == (15 if annotated else 0), "the annotated texts of the training day"
    assert (held_out.recorded(own, teacher) is not None) == annotated
    assert imported(own, file) is None

    told = do(score_teacher.JOB, context_for(own, "score-teacher"))
    assert told is None, "all of its sample is scored"
    assert train_teacher.plan(context_for(own, "train-teacher")).steps == ()
    assert train_teacher.plan(context_for(own, "train-teacher", again=True)).steps != ()
    found = do(thresholds.JOB, context_for(own, "thresholds", teachers=True))
    assert found is None or not annotated or found.counts["thresholds"] in (0, 2)
    done = do(distil.JOB, context_for(own, "distil"))
    assert done is not None
    first = min(own.rows(tables.ROUNDS), key=lambda row: int(row["number"]))
    assert (first["number"], first["sampling"]) == ((1, "annotated") if annotated else (2, "random"))
    for job in (score.JOB, thresholds.JOB, promote.JOB, label.JOB):
        do(job, context_for(own, job.name))
    assert own.rows(tables.PROMOTIONS)

    fill(own, {tables.TEXTS: texts_of(range(1000, 1040))})  # the next night
    told = do(score_teacher.JOB, context_for(own, "score-teacher"))
    assert told is not None
    assert told.counts["praise_to_ask"] > 0
    assert "`pingti teacher ask --task praise --teacher gpt`" in (told.reason or "")
    done = imported(own, answered(own, tmp_path))
    assert done is not None
    assert done.counts["texts"] == told.counts["praise_to_ask"]
    assert do(score_teacher.JOB, context_for(own, "score-teacher")) is None


def test_what_needs_the_teachers_network_is_refused(lake: Callable[..., Lake], tmp_path: Path) -> None:
    own = lake(*tables.ALL)
    fill(own, {tables.TEXTS: texts_of(range(FOUR_DAYS))})
    imported(own, answered(own, tmp_path))
    schemes: list[dict[str, Any]] = [
        {"kind": "joint_coupled"}, {"kind": "offline", "hint_weight": 0.1}, {"kind": "offline", "curriculum": True},
    ]  # fmt: skip
    for scheme in schemes:
        with pytest.raises(DataError, match=r"needs the teacher's network, and the scores of praise/teacher/gpt"):
            distil.plan(context_of(own, "distil", **settings(scheme=scheme)))
    with pytest.raises(DataError, match="it has no files to open"):
        registry.files(own, registry.newest_teacher(own, "praise"))
    do(distil.JOB, context_for(own, "distil"))
    compared = {"round": None, "students": "textcnn", "schemes": "joint_coupled", "seeds": "1", "out": tmp_path}
    with pytest.raises(DataError, match="joint_coupled needs the teacher's network"):
        compare.plan(context_for(own, "compare", **compared))


def test_what_is_asked_for_is_the_sample_of_score_teacher_by_either_hand(lake: Callable[..., Lake]) -> None:
    own = lake(*tables.ALL)
    texts = texts_of(range(FOUR_DAYS))
    again = [text_row(f"again{at}", texts[at]["text"], dt=day(at % 4 + 1)) for at in range(0, 20, 3)]
    others = [
        text_row("photo", scene="photo"), text_row("ruled", settled=[rule("praise", "negative")]),
        text_row("useless", settled=[rule("x", "negative"), rule("*", "useless")], dt=day(2)),
    ]  # fmt: skip
    fill(own, {
        tables.TEXTS: [*texts, *again, *others],
        tables.ANNOTATIONS: [
            annotation_row("praise", "asks", "t0", True, text_hash=texts[0]["text_hash"], dt=day(0)),
            annotation_row("praise", "gone", "t4", True, text_hash=texts[4]["text_hash"], dt=day(0)),
            annotation_row("praise", "asks", "t1", True, text_hash=texts[1]["text_hash"], dt=day(1)),
        ],
    })  # fmt: skip
    declared = TaskSettings.model_validate(settings()["tasks"]["praise"])
    drawn = TeacherScoringSettings(train_texts=9, threshold_texts=8, test_texts=7, gate_texts=100)
    layout = text_queries.date_layout(own, RoundSettings(**ROUNDS))
    for name in (None, "praise/teacher/gpt"):
        teacher = None
        if name:
            fill(own, {tables.ROUND_SAMPLES: [sample_row(name, "gone"), sample_row(name, texts[8]["text"])]})
            teacher = registry.RegisteredModel(name, "praise", "external", "teacher", ("asks",), None, None, "", "1")
        asking = Asking("praise", declared, layout, drawn, 1, teacher)
        by_driver, by_frames = (unscored_texts(own, asking, limit=limit) for limit in (1 << 30, 0))
        assert by_driver.to_pylist() == by_frames.to_pylist()
        asked = by_driver.column("text_hash").to_pylist()
        assert len(asked) == len({*asked})
        if teacher is not None:
            sampled = score_teacher.sample(own, teacher, declared, layout, drawn, 1)
            assert {*asked} == {row["text_hash"] for row in sampled.select("text_hash").collect()}


def test_texts_are_found_by_either_hand(lake: Callable[..., Lake]) -> None:
    own = fill(lake(*tables.ALL), {tables.TEXTS: texts_of(range(8))})
    hashes = [row["text_hash"] for row in texts_of(range(8))]
    records = pa.table({"text_id": ["t1", "nobody", None], "text_hash": [None, None, hashes[5]]})
    by_driver, by_frames = (known_texts(own, records, limit) for limit in (1 << 30, 0))
    pairs = [
        sorted(zip(one.ids.to_pylist(), one.hashes.to_pylist(), strict=True)) for one in (by_driver, by_frames)
    ]  # fmt: skip
    assert pairs[0] == pairs[1] == [("t1", hashes[1]), ("t5", hashes[5])]


def test_tables_that_the_session_alone_opens_are_read_by_it(lake: Callable[..., Lake], tmp_path: Path) -> None:
    own = fill(lake(*tables.ALL), {tables.TEXTS: texts_of(range(FOUR_DAYS))})
    spark = own.spark
    rows = [(f"t{at}", {"asks": 0.5, "got": at / 100}) for at in range(8)]
    frame = spark.createDataFrame(rows, "text_id string, scores struct<asks: double, got: double>").coalesce(1)
    place = str(tmp_path / "deleted")
    frame.write.format("delta").option("delta.enableDeletionVectors", "true").save(place)
    spark.sql(f"DELETE FROM delta.`{place}` WHERE text_id = 't3'")
    done = imported(own, place, name="vectors")
    assert done is not None
    assert done.counts["texts"] == 7, "the deleted row is none"
    schema = own.catalog.schema_name
    spark.sql(f"CREATE SCHEMA IF NOT EXISTS {schema}")
    frame.write.format("delta").saveAsTable(f"{schema}.answers")
    done = imported(own, f"{schema}.answers", name="named")
    assert done is not None
    assert done.counts["texts"] == 8
    assert imported(own, f"{schema}.answers", name="named") is None
    with pytest.raises(DataError, match="neither a file, nor a Delta table"):
        imported(own, f"{schema}.nothing", name="nobody")
