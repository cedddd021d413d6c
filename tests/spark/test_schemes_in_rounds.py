"""Pairs of texts through the whole pipeline, every scheme on one round of them, and labels that come in phases."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyspark.sql import functions as F

from jobs.labels import promote, thresholds
from jobs.lake import registry, tables, teacher_scores
from jobs.lake.store import Lake
from jobs.reports import sql
from jobs.rounds import compare, distil, training_data
from jobs.rounds.round import stored_round
from jobs.rounds.training_data import TrainingData
from jobs.runtime.context import Context
from jobs.runtime.job import Job
from jobs.scoring import score, score_teacher
from jobs.settings import TeacherScoringSettings
from jobs.teachers import train_teacher
from models import digests
from models.errors import DataError, GateError, SettingsError
from models.serving.bundle import open_bundle
from tests.support import STAMP, add, context_of, day, do, fill, model_row, text_row, threshold_row

pytestmark = pytest.mark.spark

TASK = "answer"
TEACHER = {"layers": 1, "hidden": 32, "pretrain_steps": 2, "epochs": 2, "min_steps": 0, "checkpoints": 2}
STUDENT = {"epochs": 2, "filters": 8, "embedding": 8, "widths": [1, 2], "max_length": 31}


def settings(*labels: str, **student: Any) -> dict[str, Any]:
    nothing = {"precision": 0, "recall": 0}  # quality is chance at this size
    task = {
        "kind": "pair", "scenes": ["live_chat"], "labels": {label: {"target": nothing} for label in labels},
        "teacher": TEACHER, "student": STUDENT | student,
    }  # fmt: skip
    rounds = {
        "threshold_days": 1, "test_days": 1, "gate_days": 0, "min_train_days": 1, "rounds": 1, "undistilled_margin": 1,
        "accept_weak_teacher": True,
    }  # fmt: skip
    gate = {"rare": "accept", "margin": 1}
    return {"tasks": {TASK: task}, "rounds": rounds, "teacher_scoring": {"commits": 1}, "gate": gate}


def rows(label: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Questions with answers, most of which fit; and what annotators say. The later label is for every other one."""
    random = np.random.default_rng(1)
    texts, annotations = [], []
    for number in range(120):
        first, second = random.choice(list("xyz"), 2)
        text, other, dt = f"老师{first}{number}", f"{second}好{number}", day(number % 3)
        hashed = digests.of_text(text, other)
        texts.append(text_row(f"t{number}", text, text_b=other, text_hash=hashed, dt=dt, source_id=str(number)))
        told = {"fits": bool(first == second or second != "z")} | ({"has_x": bool(second == "x")} if number % 2 else {})
        if label in told:
            annotations.append({
                "task": TASK, "label": label, "value": told[label], "annotator": "a", "text_id": f"t{number}",
                "text_hash": hashed, "dt": dt, "file": "seed", "run_id": "seed",
            })  # fmt: skip
    return texts, annotations


@pytest.fixture(scope="module")
def own(shared_lake: Callable[..., Lake]) -> Lake:
    """A lake in which the first phase went through every job up to a promoted student."""
    made = shared_lake(*tables.ALL)
    texts, annotations = rows("fits")
    fill(made, {tables.TEXTS: texts, tables.ANNOTATIONS: annotations})
    context = context_of(made, **settings("fits"))
    for of_round in ("answer-textcnn-01", "answer-textcnn-010"):  # killed, before its settings changed
        (made.bundles.folder / "training" / f"{of_round}-0-textcnn-char-offline-00000000").mkdir(parents=True)
    # The teacher's thresholds first: they decide the gold of the round, and of what is compared with it later.
    before: tuple[Job[Any], ...] = (train_teacher.JOB, score_teacher.JOB, thresholds.JOB)
    after: tuple[Job[Any], ...] = (distil.JOB, score.JOB, thresholds.JOB, promote.JOB)
    for job in before:
        assert do(job, context_of(made, options={"teachers": True}, **settings("fits"))) is not None, job.name
    for job in after:
        assert do(job, context) is not None, job.name
    return made


def context(own: Lake, *labels: str, options: dict[str, Any] | None = None, **student: Any) -> Context:
    return context_of(own, options=options, **settings(*(labels or ("fits",)), **student))


def newest(own: Lake, role: str) -> registry.RegisteredModel:
    found = registry.newest_model(own, TASK, role)
    assert found is not None
    return found


def states(own: Lake) -> list[str]:
    """The trainings that were begun and not done."""
    return sorted(folder.name for folder in (own.bundles.folder / "training").iterdir())


def data_of(own: Lake, asked: Context) -> AbstractContextManager[TrainingData]:
    """The first round's training data for the student that is asked for."""
    declared = asked.settings.task(TASK)
    round_ = stored_round(own, TASK, declared, f"{TASK}/textcnn/01", 1)
    return training_data.training_data(
        own, round_, declared.student, engine="auto", scoring=TeacherScoringSettings(), say=asked.reporter.say
    )


def test_pairs_go_through_the_whole_pipeline(own: Lake) -> None:
    student = newest(own, "student")
    manifest = open_bundle(student.path).manifest
    assert (manifest.outcome, manifest.folding) == ("pair", None)
    by = teacher_scores.computed_by(own, newest(own, "teacher").model_id)
    assert [name.split()[:2] for name in by] == [["onnxruntime", "cpu"]]
    assert teacher_scores.errors(own, newest(own, "teacher").model_id) == {}
    scores = own.read(tables.STUDENT_SCORES)
    assert scores.count() == 120
    assert scores.where("probs IS NULL OR error IS NOT NULL").isEmpty()


def test_a_sample_that_was_scored_whole_is_drawn_once_for_the_same_texts(own: Lake) -> None:
    asked = context(own)
    own.append_files_after([], tables.TEXTS, STAMP, own.log.version(tables.TEXTS))
    assert score_teacher.plan(asked).steps, "the texts may be others"
    assert do(score_teacher.JOB, asked) is None
    assert score_teacher.plan(asked).steps == ()


def test_a_round_that_ended_leaves_no_state_of_its_trainings(own: Lake) -> None:
    assert states(own) == ["answer-textcnn-010-0-textcnn-char-offline-00000000"]


def test_another_round_that_makes_the_same_student_keeps_it(own: Lake) -> None:
    """A changed target asks for the round again; rows, student and seed are those of the last."""
    changed = settings("fits")
    changed["tasks"][TASK]["labels"]["fits"] = {"target": {"precision": 0.01, "recall": 0.01}}
    before = newest(own, "student")
    assert do(distil.JOB, context_of(own, **changed)) is not None
    assert newest(own, "student") == before
    made = own.read(tables.ROUNDS).select("round_id", "model_id").orderBy("round_id").collect()
    assert [row["model_id"] for row in made] == [before.model_id] * 2
    assert do(distil.JOB, context_of(own, **changed)) is None


def test_sql_asks_the_student_about_two_raw_texts(own: Lake) -> None:
    sql.register_functions(own, context(own).settings)
    raw = own.read(tables.TEXTS).selectExpr("text_id", f"student_probs('{TASK}', text, text_b) AS asked")
    both = raw.join(own.read(tables.STUDENT_SCORES), "text_id").where("abs(asked[0] - probs[0]) > 1e-6")
    assert both.isEmpty()
    with pytest.raises(Exception, match="judges pairs of texts"):
        own.read(tables.TEXTS).selectExpr(f"student_probs('{TASK}', text)").collect()


def test_every_scheme_and_student_can_be_compared_on_one_round(own: Lake, tmp_path: Path) -> None:
    schemes = "offline+hints+curriculum,joint_coupled+hints,joint_isolated+curriculum,multi_teacher"
    options = {"round": None, "students": "bow:word", "schemes": schemes, "seeds": "1", "out": tmp_path}
    before, unfinished = own.read(tables.MODELS).count(), states(own)
    assert do(compare.JOB, context(own, options=options)) is not None
    assert own.read(tables.MODELS).count() == before  # nothing is registered
    assert states(own) == unfinished
    told = json.loads((tmp_path / "compare.json").read_text("utf-8"))["contenders"]
    assert [one["scheme"] for one in told] == ["none", *schemes.split(",")]
    for one in told:
        assert 0 <= one["teacher_positives_f1"] <= 1
        assert 0 <= one["human_positives_f1"] <= 1
        assert 0 <= one["coverage"] <= 1  # a student is in force
        assert min(one["parameters"], one["bundle_bytes"], one["rows_per_s"], one["seconds"]) > 0
    kept = own.read(tables.COMPARISONS)
    assert kept.count() == len(told)
    assert {row["student"] for row in kept.collect()} == {"bow:word"}


def test_a_comparison_trains_what_the_round_trained(own: Lake, tmp_path: Path) -> None:
    """The same rows, settings and seed: the same F1 as the round's student and its undistilled baseline."""
    first = f"{TASK}/textcnn/01"
    options = {"round": first, "students": "textcnn", "schemes": "offline", "seeds": "1", "out": tmp_path}
    assert do(compare.JOB, context(own, options=options)) is not None
    told = json.loads((tmp_path / "compare.json").read_text("utf-8"))["contenders"]
    row = own.read(tables.ROUNDS).where(F.col("round_id") == first).first()
    assert row is not None
    wanted = {(one["model"], one["gold"], one["part"]): one["f1"] for one in row["metrics"]}
    for one, model in zip(told, ("undistilled", "student"), strict=True):
        assert one["teacher_positives_f1"] == pytest.approx(wanted[model, "teacher", "test"], abs=1e-9)
        assert one["human_positives_f1"] == pytest.approx(wanted[model, "human", "test"], abs=1e-9)
        assert one["human_unseen_positives_f1"] == pytest.approx(wanted[model, "human", "test_unseen"], abs=1e-9)
    assert told[1]["coverage"] == 1  # it is the student in force


def test_what_cannot_be_compared_is_told(own: Lake, tmp_path: Path) -> None:
    good = {"round": None, "students": "textcnn", "schemes": "offline", "seeds": "1", "out": tmp_path}
    for wrong, message in (
        ({"students": "tree"}, "--students"), ({"schemes": "online"}, "--schemes"), ({"seeds": "one"}, "--seeds"),
        ({"seeds": "-1"}, "--seeds"), ({"students": ""}, "--students"),
        ({"schemes": "offline+curriculum+hints"}, "--sch"),
        ({"schemes": "joint_summed+curriculum"}, "curriculum"),
    ):  # fmt: skip
        with pytest.raises(SettingsError, match=message):
            compare.plan(context(own, options=good | wrong))
    with pytest.raises(DataError, match="no round answer/textcnn/99"):
        compare.plan(context(own, options=good | {"round": "answer/textcnn/99"}))
    with pytest.raises(DataError, match="have the labels fits, the settings have ;"):
        compare.plan(context(own, "has_x", options=good))


def test_rows_that_come_in_blocks_are_mapped_from_files_and_the_same(
    own: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = context(own, scheme={"hint_weight": 0.1})
    with data_of(own, asked) as given:
        vocabulary, whole = given.vocabulary, given.rows.digest
    monkeypatch.setattr(training_data, "BLOCK", 17)
    with data_of(own, asked) as given:
        assert isinstance(given.rows.soft, np.memmap)
        assert (given.vocabulary, given.rows.digest) == (vocabulary, whole)
        place = Path(str(given.rows.soft.filename)).parent
    assert not place.exists()


MIXED: dict[str, Any] = {"scheme": {"kind": "multi_teacher", "teachers": {"teacher": 1.0, "live": 3.0}}}


def test_past_students_are_teachers(own: Lake) -> None:
    live, soft = newest(own, "student").model_id, []
    for asked in (context(own), context(own, **MIXED)):
        with data_of(own, asked) as given:
            soft.append(given.rows.soft.copy())
    alone, mixed = soft
    said = own.read(tables.ROUND_SAMPLES).where(F.col("round_id") == f"{TASK}/textcnn/01").join(
        own.read(tables.STUDENT_SCORES).where(F.col("model_id") == live), "text_id"
    )  # fmt: skip
    probs = np.array([row["probs"][0] for row in said.orderBy("position").collect()])
    wanted = (1 / (1 + np.exp(-alone[:, 0])) + 3 * probs) / 4
    assert 1 / (1 + np.exp(-mixed[:, 0])) == pytest.approx(wanted, abs=1e-4)


def test_a_task_without_annotations_ends_the_run_before_any_teacher_is_trained(own: Lake) -> None:
    wanted, old = settings("fits"), newest(own, "teacher")
    spoken = wanted["tasks"][TASK] | {"teacher": TEACHER | {"epochs": 3}}  # so its teacher is to be trained anew
    wanted["tasks"] = {TASK: spoken, "unspoken": spoken}
    with pytest.raises(DataError, match="none for task unspoken"):
        do(train_teacher.JOB, context_of(own, **wanted))
    assert newest(own, "teacher") == old


def test_a_label_of_a_later_phase_needs_no_old_rows_annotated_again(own: Lake) -> None:
    """Before anybody spoke of the label no model claims it; afterwards only its own rows teach it.

    The new round learns from the student in force too, which does not know the label, and keeps its positives in sight.
    """
    grown = context(own, "has_x", "fits", **MIXED)
    old = newest(own, "teacher")
    assert do(train_teacher.JOB, grown) is None  # there is nothing new to learn
    assert do(distil.JOB, grown) is not None  # by the teacher that knows the old label alone
    assert do(distil.JOB, grown) is None
    assert newest(own, "teacher") == old
    assert old.labels == newest(own, "student").labels == ("fits",)
    assert own.read(tables.ROUND_SAMPLES).where("size(hard) <> 1 OR size(soft) <> 1").isEmpty()

    add(own, tables.ANNOTATIONS, *rows("has_x")[1])
    for job in (train_teacher.JOB, score_teacher.JOB, distil.JOB):
        assert do(job, grown) is not None, job.name
    assert newest(own, "teacher").labels == newest(own, "student").labels == ("has_x", "fits")
    later = own.read(tables.ROUND_SAMPLES).where(F.col("round_id") == newest(own, "student").round_id)
    known = later.agg(F.count("*"), F.count(F.element_at("hard", 1)), F.count(F.element_at("hard", 2))).first()
    assert known is not None
    assert 0 < known[1] < known[0] == known[2]
    row = own.read(tables.ROUNDS).orderBy(F.col("round_id").desc()).first()
    assert row is not None
    assert row["scheme"] == "multi_teacher"
    golds = {one["gold"] for one in row["metrics"]}
    assert golds >= {"teacher", "live"}
    assert {r["gold"] for r in own.read(tables.EVALUATIONS).select("gold").distinct().collect()} >= {"live"}


def test_a_student_that_loses_to_its_undistilled_baseline_is_not_promoted(own: Lake) -> None:
    worse = f"{TASK}/textcnn/worse"
    metrics = [
        {"model": model, "gold": "teacher", "part": "test", "precision": f1, "recall": f1, "f1": f1}
        for model, f1 in (("student", 0.70), ("undistilled", 0.75))
    ]
    last = own.read(tables.ROUNDS).first()
    assert last is not None
    lost = last.asDict(recursive=True) | {"round_id": f"{TASK}/textcnn/99", "metrics": metrics, "model_id": worse}
    lost |= {"figures": None}  # as a row of an earlier version
    add(own, tables.ROUNDS, lost)
    later = datetime(2100, 1, 1, tzinfo=UTC)
    add(own, tables.MODELS, model_row(worse, ["fits"], created_at=later))
    add(own, tables.THRESHOLDS, threshold_row(worse, "fits", 0.5))
    strict = settings("has_x", "fits")
    strict["rounds"] |= {"undistilled_margin": 0.01, "seed_deviation": 0.01}
    with pytest.raises(GateError, match=r"0\.700 against the gold `teacher` on .* is below the 0\.750"):
        promote.plan(context_of(own, **strict))
