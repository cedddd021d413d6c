"""Scores of a sealed student: one row for every text it is for, whatever the batches."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.lake import tables, text_queries
from jobs.lake.store import Lake
from jobs.runtime.context import Context, Days, Request, make_context, quiet_reporter
from jobs.runtime.job import run
from jobs.scoring import score
from jobs.scoring.inference import student_scores
from jobs.settings import Settings
from models.errors import DataError
from models.export.exporter import export_student
from models.serving.bundle import BundleFacts, open_bundle, seal
from models.serving.open_engine import open_engine
from models.student_settings import TextCNNSettings
from models.students.textcnn import TextCNN
from models.text.vocabulary import Vocabulary
from tests.support import (
    DAY,
    NEW_YEAR,
    add,
    context_of,
    day,
    do,
    fill,
    model_row,
    promotion_row,
    rows_of,
    rule,
    text_row,
    versions,
)

pytestmark = pytest.mark.spark

CHARACTERS = "老师好棒夸我差评abc"
TASKS: dict[str, Any] = {
    "praise": {"scenes": ["live_chat", "photo"], "labels": {"asks": {}, "got": {}}},
    "feedback": {"scenes": ["live_chat"], "labels": {"complaint": {}, "thanks": {}}},
}
TEXTS = [
    *[text_row(f"n{n}", CHARACTERS[n % 7 : n % 11] + "好" * (n % 5), dt=day(n % 2)) for n in range(40)],
    text_row("empty", ""), text_row("photo", "棒", scene="photo"), text_row("elsewhere", "棒", scene="speech"),
    text_row("settled", "好", settled=[rule("praise", "positive", "asks")]),
    text_row("useless", "好", settled=[rule("*", "useless")]),
]  # fmt: skip
EXPECTED = {"praise": 42, "feedback": 42}  # all but elsewhere, useless, and: settled or photo


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A sealed student with random weights for one task, and with its weights turned round for the other."""
    folder = tmp_path_factory.mktemp("students")
    torch.manual_seed(1)
    vocabulary = Vocabulary(tuple(CHARACTERS))
    student = TextCNN(TextCNNSettings(embedding=4, filters=3, widths=(1, 3)), len(vocabulary), 2)
    one = export_student(
        student, folder=folder / "praise", task="praise", kind="textcnn", labels=tuple(TASKS["praise"]["labels"]),
        vocabulary=vocabulary, max_length=16, clean_version="1", model_id="praise/textcnn/0",
    )  # fmt: skip
    model = onnx.load(one / "model.onnx")
    (weight,) = [item for item in model.graph.initializer if item.name.endswith("head.weight")]
    weight.CopyFrom(onnx.numpy_helper.from_array(-onnx.numpy_helper.to_array(weight), weight.name))
    manifest = open_bundle(one).manifest
    facts = {name: getattr(manifest, name) for name in BundleFacts.model_fields}
    facts |= {"model_id": "feedback/textcnn/1", "task": "feedback", "labels": tuple(TASKS["feedback"]["labels"])}
    other = seal(
        folder / "feedback", model=model.SerializeToString(), vocabulary=vocabulary, facts=BundleFacts(**facts)
    )
    return {"praise": one, "feedback": other}


def models_of(bundles: dict[str, Path]) -> list[dict[str, Any]]:
    return [
        model_row(f"{task}/textcnn/{seed}", TASKS[task]["labels"], path=str(bundles[task]))
        for seed, task in enumerate(TASKS)
    ]


@pytest.fixture(scope="module")
def scored(shared_lake: Callable[..., Lake], bundles: dict[str, Path]) -> Lake:
    lake = shared_lake(tables.TEXTS, tables.MODELS, tables.PROMOTIONS, tables.STUDENT_SCORES)
    fill(lake, {tables.TEXTS: TEXTS, tables.MODELS: models_of(bundles)})
    done = do(score.JOB, context_for(lake))
    assert done is not None
    assert done.counts == {
        "scores": 84, "scores_null": 0, "files": 4, "days": 2, "praise_scores": 42, "feedback_scores": 42
    }  # fmt: skip
    assert done.reason == "by files"
    return lake


def context_for(lake: Lake, **asked: Any) -> Context:
    return context_of(lake, "score", tasks=TASKS, **asked)


def scores_of(lake: Lake, texts: DataFrame) -> DataFrame:
    tasks, students = context_for(lake).settings.tasks, score.serving(lake, tuple(TASKS))
    wanted = {student.model_id: text_queries.wanted(student.task, tasks[student.task]) for student in students}
    return student_scores(lake, texts, students, wanted, "auto")


def probabilities(scores: DataFrame) -> dict[tuple[str, str], list[float]]:
    found = {(row["text_id"], row["model_id"]): row["probs"] for row in scores.collect()}
    assert len(found) == sum(EXPECTED.values())
    return found


def test_every_text_that_no_rule_settled_has_one_row_a_student(scored: Lake) -> None:
    found = scored.read(tables.STUDENT_SCORES)
    got = {task: {row["text_id"] for row in found.where(f"model_id like '{task}/%'").collect()} for task in TASKS}
    numbered = {f"n{n}" for n in range(40)} | {"empty"}
    assert got == {"praise": numbered | {"photo"}, "feedback": numbered | {"settled"}}
    assert found.count() == 84
    assert found.where("probs is null or error is not null").count() == 0
    assert rows_of(found.where("text_id = 'photo'"), "dt", "scene", "clean_version") == [(DAY, "photo", "1")]


def test_a_score_is_what_the_engine_says_of_the_text_alone(scored: Lake, bundles: dict[str, Path]) -> None:
    found = probabilities(scored.read(tables.STUDENT_SCORES))
    texts = {row["text_id"]: row["text"] for row in TEXTS}
    for task, bundle in bundles.items():
        engine = open_engine(bundle)
        mine = {text_id: probs for (text_id, model_id), probs in found.items() if model_id.startswith(f"{task}/")}
        for text_id, probs in mine.items():
            np.testing.assert_allclose(probs, engine.probabilities(pa.array([texts[text_id]]))[0], rtol=0, atol=1e-6)
    assert len({tuple(probs) for probs in found.values()}) > 20


@pytest.mark.parametrize(("rows", "partitions"), [("7", 3), ("1", 1), ("4096", 1)])
def test_batches_and_partitions_do_not_show(scored: Lake, rows: str, partitions: int) -> None:
    key = "spark.sql.execution.arrow.maxRecordsPerBatch"
    before = scored.spark.conf.get(key)
    scored.spark.conf.set(key, rows)
    try:
        found = probabilities(scores_of(scored, scored.read(tables.TEXTS).repartition(partitions)))
    finally:
        scored.spark.conf.set(key, str(before))
    stored = probabilities(scored.read(tables.STUDENT_SCORES))
    assert found.keys() == stored.keys()
    flat = [np.concatenate([one[key] for key in sorted(one)]) for one in (found, stored)]
    np.testing.assert_allclose(*flat, rtol=0, atol=1e-6)


def test_a_null_text_keeps_its_row_and_says_why(scored: Lake) -> None:
    nulled = scored.read(tables.TEXTS).where("text_id in ('n1', 'n2')")
    nulled = nulled.withColumn("text", F.when(F.col("text_id") == "n2", F.col("text")))
    found = scores_of(scored, nulled)
    assert rows_of(found.where("probs is null"), "text_id", "error") == [("n1", "no_text"), ("n1", "no_text")]
    assert rows_of(found.where("probs is not null"), "text_id", "error") == [("n2", None), ("n2", None)]


def test_all_students_share_one_read_of_the_texts(scored: Lake) -> None:
    plan = scores_of(scored, scored.read(tables.TEXTS))._jdf.queryExecution().executedPlan().toString()
    assert plan.count("FileScan parquet") == 1
    assert plan.count("MapInArrow") == 1


def test_nothing_is_left_to_do_until_something_changes(scored: Lake) -> None:
    before = versions(scored, tables.STUDENT_SCORES)
    assert do(score.JOB, context_for(scored)) is None
    assert do(score.JOB, context_for(scored, days=Days(DAY, DAY))) is None
    assert versions(scored, tables.STUDENT_SCORES) == before
    wider = TASKS | {"feedback": TASKS["feedback"] | {"scenes": ["live_chat", "photo"]}}
    assert score.plan(context_of(scored, "score", tasks=wider)).steps == (
        f"score {DAY} to {day(1)} with feedback/textcnn/1: its settings or models changed",
    )
    assert score.plan(context_for(scored, days=Days(DAY, day(7)))).steps == ()


def test_the_promoted_student_goes_on_scoring_beside_a_newer_one(scored: Lake, bundles: dict[str, Path]) -> None:
    newer = model_row("praise/textcnn/9", ["asks"], path="/nowhere", created_at=NEW_YEAR.replace(month=2))
    add(scored, tables.MODELS, newer)
    serving = [student.model_id for student in score.serving(scored, ("praise",))]
    assert serving == ["praise/textcnn/9"]
    add(scored, tables.PROMOTIONS, promotion_row("praise/textcnn/0", NEW_YEAR))
    serving = [student.model_id for student in score.serving(scored, ("praise",))]
    assert serving == ["praise/textcnn/0", "praise/textcnn/9"]


def test_a_task_without_a_student_is_told(scored: Lake) -> None:
    more = TASKS | {"mood": TASKS["feedback"]}
    with pytest.raises(DataError, match="no student of task mood; run `pingti distil` first"):
        score.plan(context_of(scored, "score", task="mood", tasks=more))


def test_texts_students_and_scores_may_lie_in_an_object_store(
    scored: Lake, bundles: dict[str, Path], object_store: Mapping[str, str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Executors fetch what the driver uploaded; the scores are those of a warehouse on this disk."""
    monkeypatch.setenv("PINGTI_CACHE", str(tmp_path))
    place = f"s3://texts/{tmp_path.name}"
    lake = {
        "location": f"{place}/warehouse", "bundles": f"{place}/bundles", "storage_options": dict(object_store)
    }  # fmt: skip
    settings = Settings.model_validate({"lake": lake, "tasks": TASKS})
    context = make_context("score", settings, lambda: scored.spark, Request(), quiet_reporter())
    own = context.lake
    own.catalog.make()
    models = []
    for row in models_of(bundles):
        made = own.bundles.folder / "students" / row["task"]
        shutil.copytree(row["path"], made)
        models.append(row | {"path": own.bundles.published(made), "digests": dict(open_bundle(made).manifest.files)})
    shutil.rmtree(own.bundles.folder)
    fill(own, {tables.TEXTS: TEXTS, tables.MODELS: models})
    done = run(score.JOB, context)
    assert done is not None
    assert done.reason == "by files"
    key = ("text_id", "model_id")
    told = {tuple(row[name] for name in key): row["probs"] for row in own.rows(tables.STUDENT_SCORES)}
    assert told == {tuple(row[name] for name in key): row["probs"] for row in scored.rows(tables.STUDENT_SCORES)}
    assert [row["outcome"] for row in own.rows(tables.RUNS)] == ["done"]
    assert score.JOB.plan(context).steps == ()


def test_scores_are_written_without_a_dictionary_that_would_be_given_up(scored: Lake) -> None:
    assert scored.catalog.root is not None
    group = pq.ParquetFile(
        min((Path(scored.catalog.root) / "student_scores").glob("dt=*/*/*.parquet"))
    ).metadata.row_group(0)
    columns = [group.column(at) for at in range(group.num_columns)]
    tried = {column.path_in_schema for column in columns if any("DICTIONARY" in one for one in column.encodings)}
    assert {"text_id", "probs.list.element", "scene", "clean_version"} - tried == {"text_id", "probs.list.element"}


def test_a_table_that_our_hand_cannot_take_is_scored_by_frames_with_the_same_rows(
    lake: Callable[..., Lake], scored: Lake, bundles: dict[str, Path]
) -> None:
    """Texts with a row deleted by a deletion vector: a file's rows are not the table's there."""
    own = lake(tables.TEXTS, tables.MODELS, tables.PROMOTIONS, tables.STUDENT_SCORES)
    fill(own, {tables.TEXTS: TEXTS, tables.MODELS: models_of(bundles)})
    name = own.catalog.register(tables.TEXTS)
    own.spark.sql(f"ALTER TABLE {name} SET TBLPROPERTIES ('delta.enableDeletionVectors' = 'true')")
    own.spark.sql(f"DELETE FROM {name} WHERE text_id = 'n1'")
    done = do(score.JOB, context_for(context_of(own).lake, task="praise"))
    assert done is not None
    assert done.counts == {"scores": 41, "days": 2, "praise_scores": 41}
    assert done.reason == "by Spark's frames: texts: it has the features deletionVectors"
    by_files = scored.read(tables.STUDENT_SCORES).where("model_id = 'praise/textcnn/0' AND text_id <> 'n1'")
    both = [sorted(rows_of(frame, "text_id", "dt", "scene")) for frame in (own.read(tables.STUDENT_SCORES), by_files)]
    assert both[0] == both[1]


def test_files_that_hold_other_rows_than_the_log_says_are_told(
    lake: Callable[..., Lake], bundles: dict[str, Path]
) -> None:
    own = lake(tables.TEXTS, tables.MODELS, tables.PROMOTIONS, tables.STUDENT_SCORES)
    fill(own, {tables.TEXTS: TEXTS, tables.MODELS: models_of(bundles)})
    assert own.catalog.root is not None
    file = min((Path(own.catalog.root) / "texts").rglob("*.parquet"))
    kept = pq.ParquetFile(file).read().slice(1)
    pq.write_table(kept, file)
    with pytest.raises(DataError, match=r"praise/textcnn/0 read \d+ texts, the log has \d+; run again"):
        do(score.JOB, context_for(own, task="praise"))
    assert own.log.version(tables.STUDENT_SCORES) == 0
