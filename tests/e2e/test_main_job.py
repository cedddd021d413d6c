"""The main job from files to labels: what must hold of its tables, its summary, and of every text on its way."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from models import digests
from models.text.rules import Cleaner
from tests.e2e.running import Ran, demo

if TYPE_CHECKING:
    from jobs.lake.store import Lake

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]

Open = Callable[[Ran, str], "Lake"]
# What a second run may write differently: who wrote it, and when.
_OF_THE_FILES = {"made_days": ("inputs", "outputs", "made_at"), "raw_file_days": ("path",)}  # their names are random
_OF_THE_RUN = {"run_id", "created_at", "from_ts", "seconds", "arrived_dt", "modified"}


def test_the_counts_hold(undisturbed: Ran) -> None:
    counts = json.loads((undisturbed.folder / "demo" / "summary.json").read_text())["counts"]
    manifest = json.loads((undisturbed.folder / "demo" / "corpus" / "manifest.json").read_text())
    assert counts["read"] == 2000 == counts["raw"] + counts["rejected"]
    assert counts["rejected"] == sum(sum(file["broken"].values()) for file in manifest["files"].values()) > 0
    assert counts["texts"] == counts["raw"]
    for task in counts["tasks"].values():
        assert task["texts"] == task["settled"] + task["scored"]
        assert task["settled"] > 0
        assert task["positive_labels"] > 0


def test_the_summary_has_both_rounds_of_both_tasks(undisturbed: Ran) -> None:
    summary = json.loads((undisturbed.folder / "demo" / "summary.json").read_text())
    assert [(one["task"], one["round"], one["sampling"]) for one in summary["rounds"]] == [
        ("feedback", 1, "annotated"),
        ("feedback", 2, "random"),
        ("praise", 1, "annotated"),
        ("praise", 2, "random"),
    ]
    for one in summary["rounds"]:
        assert {"precision", "recall", "f1", "unseen", "undistilled", "truth"} <= set(one)
        assert all(one[who] for who in ("human", "undistilled_human", "teacher_human")), one["round_id"]
    assert summary["seconds"] > 0
    assert "Rounds against annotators" in (undisturbed.folder / "demo" / "report.html").read_text("utf-8")


def test_both_teachers_begin_as_one_recorded_base_and_are_held_to_annotators_first(
    undisturbed: Ran, open_lake: Open
) -> None:
    from jobs.lake import registry, tables
    from jobs.teachers import held_out

    lake = open_lake(undisturbed, "undisturbed")
    ((base, _),) = registry.with_settings(lake, "*", "base")
    teachers = [registry.newest_teacher(lake, task) for task in ("feedback", "praise")]
    assert {one.base for one in teachers} == {base.path}
    for teacher in teachers:
        comparison = held_out.recorded(lake, teacher)
        assert comparison is not None, f"annotators answered too little for {teacher.model_id}"
        rows = [row for row in lake.rows(tables.EVALUATIONS) if row["round_id"] == f"held_out/{teacher.model_id}"]
        assert len({row["model_id"] for row in rows}) == 2
        assert f"{teacher.model_id} reaches macro F1 {comparison.teacher_f1:.3f}" in undisturbed.printed


def test_annotators_answered_texts_of_every_window(undisturbed: Ran, open_lake: Open) -> None:
    from jobs.lake import tables, text_queries
    from jobs.settings_file import load
    from models.rounds.date_layout import PARTS

    lake = open_lake(undisturbed, "undisturbed")
    settings = load(undisturbed.folder / "demo" / "settings.yaml")
    layout = text_queries.date_layout(lake, settings.rounds)
    answered = {(row["task"], row["dt"]) for row in lake.rows(tables.ANNOTATIONS, "task", "dt")}
    for task in settings.tasks:
        for part in PARTS:
            assert any(day in layout.window(part) for name, day in answered if name == task), f"{task} {part}"


def test_every_declared_key_is_unique(undisturbed: Ran, open_lake: Open) -> None:
    from jobs.lake import tables

    lake = open_lake(undisturbed, "undisturbed")
    for table in tables.ALL:
        frame = lake.read(table)
        # The demo compares nothing, and nobody's texts are erased.
        assert frame.count() > 0 or table in (tables.COMPARISONS, tables.ERASED), f"{table.name} is empty"
        assert frame.groupBy(*table.key).count().where("count > 1").isEmpty(), table.name


def test_one_text_from_its_file_to_its_label(undisturbed: Ran, open_lake: Open) -> None:
    from jobs.lake import tables, views
    from jobs.settings_file import load
    from models.serving.open_engine import open_engine

    lake = open_lake(undisturbed, "undisturbed")
    settings = load(undisturbed.folder / "demo" / "settings.yaml")
    views.register(lake, settings.tasks)
    (label,) = lake.spark.sql("""
        SELECT l.* FROM undisturbed.labels l
        JOIN undisturbed.texts t ON t.text_id = l.text_id
        JOIN undisturbed.round_samples r ON r.text_hash = t.text_hash AND r.round_id LIKE '%/02'
        JOIN undisturbed.teacher_scores s ON s.text_hash = t.text_hash AND s.model_id LIKE concat(l.task, '/%')
        WHERE l.rule IS NULL AND t.source = 'chat' ORDER BY l.text_id, l.label LIMIT 1""").collect()

    def row(table: Any, **of: str) -> Any:
        condition = " AND ".join(f"{name} = '{value}'" for name, value in of.items())
        (found,) = lake.read(table).where(condition).collect()
        return found

    # the record in its file
    raw = row(tables.RAW_TEXTS, text_id=label["text_id"])
    data = (undisturbed.folder / raw["file"]).read_bytes()[raw["position"] :]
    record = json.loads(data[: data.index(b"\n")])
    assert (record["msg_id"], record["content"]) == (raw["source_id"], raw["text"])
    assert digests.of_source("chat", record["msg_id"]) == label["text_id"]
    # its clean text
    text = row(tables.TEXTS, text_id=label["text_id"])
    assert text["text"] == Cleaner(settings.cleaning).clean(raw["text"])
    assert text["text_hash"] == digests.of_text(text["text"])
    assert text["dt"] == label["dt"]
    # its teacher's score and its place in round 2
    student = row(tables.MODELS, model_id=label["model_id"])
    scored = row(tables.TEACHER_SCORES, text_hash=text["text_hash"], model_id=student["teacher_id"])
    assert len(scored["logits"]) == len(student["labels"])
    sample = row(tables.ROUND_SAMPLES, text_hash=text["text_hash"], round_id=student["round_id"])
    assert sample["soft"] == scored["logits"]
    # its student's score, the same as the sealed bundle gives by itself
    score = row(tables.STUDENT_SCORES, text_id=label["text_id"], model_id=label["model_id"])
    alone = open_engine(student["path"]).probabilities(pa.array([text["text"]]))[0]
    assert np.allclose(score["probs"], alone, atol=1e-6)
    # its decision
    position = student["labels"].index(label["label"])
    assert label["score"] == score["probs"][position] >= label["threshold"]
    promotion = row(tables.PROMOTIONS, task=label["task"])
    assert (promotion["model_id"], promotion["threshold_version"]) == (label["model_id"], label["threshold_version"])
    (seen,) = lake.spark.sql(
        f"SELECT * FROM undisturbed.current_labels WHERE text_id = '{label['text_id']}' AND label = '{label['label']}'"
    ).collect()
    assert seen["text"] == text["text"]


def test_student_probs_of_the_raw_texts_are_the_tables_scores(undisturbed: Ran, open_lake: Open) -> None:
    from jobs.lake import tables
    from jobs.lake.registry import live
    from jobs.reports import sql
    from jobs.settings_file import load

    lake = open_lake(undisturbed, "asked")
    settings = load(undisturbed.folder / "demo" / "settings.yaml")
    sql.prepare(lake, settings, None)
    for task, promoted in live(lake).items():
        stored = lake.read(tables.STUDENT_SCORES).where(f"model_id = '{promoted.model_id}'").select("text_id", "probs")
        asked = lake.read(tables.RAW_TEXTS).selectExpr("text_id", f"student_probs('{task}', text) AS asked")
        both = stored.join(asked, "text_id").toPandas()
        assert len(both) == stored.count() > 500
        np.testing.assert_allclose(np.stack(both["asked"].to_list()), np.stack(both["probs"].to_list()), atol=1e-6)


def test_a_rule_settles_a_text_and_labels_it(undisturbed: Ran, open_lake: Open) -> None:
    from jobs.lake import tables

    lake = open_lake(undisturbed, "undisturbed")
    ruled = lake.read(tables.LABELS).where("rule IS NOT NULL")
    assert not ruled.isEmpty()
    assert ruled.where("label <> 'thanks_teacher' OR score IS NOT NULL OR threshold IS NOT NULL").isEmpty()


def test_a_second_run_changes_nothing(undisturbed: Ran, open_lake: Open) -> None:
    from jobs.lake import tables

    lake = open_lake(undisturbed, "undisturbed")
    before = {table.name: lake.log.version(table) for table in tables.ALL}
    written = (undisturbed.folder / "demo" / "summary.json").read_bytes()
    again = demo(undisturbed.folder)
    assert again.returncode == 0, again.stderr[-4000:]
    assert "Nothing changed since the last run." in again.stderr
    assert {table.name: lake.log.version(table) for table in tables.ALL} == before
    assert (undisturbed.folder / "demo" / "summary.json").read_bytes() == written


def test_no_text_is_printed(undisturbed: Ran, open_lake: Open) -> None:
    from jobs.lake import tables

    lake = open_lake(undisturbed, "undisturbed")
    texts = [row["text"] for row in lake.read(tables.RAW_TEXTS).where("length(text) > 8").limit(500).collect()]
    assert texts
    assert not [text for text in texts if text in undisturbed.printed]


def test_killed_on_its_way_and_finished_equals_undisturbed(undisturbed: Ran, disturbed: Ran, open_lake: Open) -> None:
    from jobs.lake import tables

    lakes = open_lake(undisturbed, "undisturbed"), open_lake(disturbed, "disturbed")
    for table in tables.ALL:
        if table is tables.RUNS:
            continue  # who ran and when is all it holds
        contents = [
            _contents(lake.read(table).drop(*_OF_THE_FILES.get(table.name, ())).toArrow(), ran)
            for lake, ran in zip(lakes, (undisturbed, disturbed), strict=True)
        ]
        assert contents[0] == contents[1], table.name


def _contents(table: pa.Table, ran: Ran) -> Counter[str]:
    """The multiset of rows, without what tells the run, with paths relative to the run's folder."""
    rows = table.drop_columns([name for name in table.column_names if name in _OF_THE_RUN]).to_pylist()
    here = json.dumps(str(ran.folder))[1:-1]
    return Counter(json.dumps(row, sort_keys=True, default=repr).replace(here, "") for row in rows)
