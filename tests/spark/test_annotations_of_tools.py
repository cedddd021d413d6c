"""Exports of tools through the whole import: counted by record, given to the text that is meant, or told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobs.ingestion import export_annotations, import_annotations
from jobs.lake import tables
from jobs.lake.store import Lake
from jobs.runtime.context import Context
from models.errors import RefusedError
from tests.support import add, context_of, day, do, rows_of, text_row, versions

pytestmark = pytest.mark.spark

TASKS = {"praise": {"scenes": ["live_chat"], "labels": {"asks": {}, "got": {}}}}
TEXTS = [
    text_row("t1", "老师讲得真清楚", source_id="m1"), text_row("t2", "夸夸我吧", source_id="m2"),
    text_row("t3", "好", source_id="m3"), text_row("t4", "好", dt=day(1), source_id="m4"),
    text_row("t5", "好", dt=day(1), source="asr"), text_row("t6", "对", source="asr"),
    text_row("t7", "嗯"), text_row("t8", "嗯"),
]  # fmt: skip
BOTH = (tables.ANNOTATIONS, tables.REJECTED)
CHAT = {"source": "chat"}


@pytest.fixture(scope="module")
def seeded(shared_lake: Callable[..., Lake]) -> Lake:
    lake = shared_lake(tables.TEXTS, *BOTH)
    add(lake, tables.TEXTS, *TEXTS)
    return lake


def context_for(lake: Lake, place: Path, **mapping: Any) -> Context:
    return context_of(lake, "annotate import", tasks=TASKS, annotations=mapping, options={"file": str(place)})


def annotated(lake: Lake, *annotators: str) -> list[tuple[Any, ...]]:
    found = lake.read(tables.ANNOTATIONS)
    found = found.where(found["annotator"].isin(*annotators))
    return rows_of(found, "annotator", "text_id", "label", "value")


def reasons(lake: Lake, file: Path) -> list[tuple[Any, ...]]:
    rejected = lake.read(tables.REJECTED)
    return rows_of(rejected.where(rejected["file"] == str(file)), "position", "reason")


def label_studio_task(text: str, *answers: tuple[int, list[str]]) -> dict[str, Any]:
    results = [
        {"completed_by": who, "was_cancelled": False, "updated_at": "2026-03-05T08:00:00Z",
         "result": [{"type": "choices", "from_name": "a", "value": {"choices": choices}}]}
        for who, choices in answers
    ]  # fmt: skip
    return {"id": 1, "data": {"text": text}, "annotations": results}


def test_an_export_of_many_annotators_is_counted_by_record(seeded: Lake, tmp_path: Path) -> None:
    file = tmp_path / "export.json"
    tasks = [
        label_studio_task("老师讲得真清楚", (91, ["got", "asks"]), (92, ["got"])),
        label_studio_task("夸夸我吧", (91, ["asks"])),
        label_studio_task("夸夸我吧"),
        label_studio_task("从来没有", (91, ["got"]), (92, ["got", "asks"])),
    ]
    file.write_text(json.dumps(tasks, ensure_ascii=False), "utf-8")
    done = do(import_annotations.JOB, context_for(seeded, file, unlisted="denied", constants=CHAT))
    assert done is not None
    assert done.counts == {
        "read": 4, "set_aside": 1, "annotations": 6, "annotation_unmatched": 1, "without_annotation": 1,
    }  # fmt: skip
    assert annotated(seeded, "91", "92") == [
        ("91", "t1", "asks", True), ("91", "t1", "got", True), ("91", "t2", "asks", True), ("91", "t2", "got", False),
        ("92", "t1", "asks", False), ("92", "t1", "got", True),
    ]  # fmt: skip
    assert reasons(seeded, file) == [(3, "annotation_unmatched")]
    raw = seeded.read(tables.REJECTED).where("position = 3 and file like '%export.json'").collect()[0]["raw"]
    assert json.loads(bytes(raw)) == tasks[3]
    again = context_for(seeded, file, unlisted="denied", constants=CHAT)
    assert import_annotations.plan(again).steps == ()


def test_words_of_several_days_or_sources_are_given_to_none_unless_the_day_is_told(
    seeded: Lake, tmp_path: Path
) -> None:
    file = tmp_path / "words.csv"
    rows = [
        ("chat", "好", ""), ("chat", "好", str(day(1))), ("", "对", ""), ("", "好", str(day(1))),
        ("chat", "嗯", ""), ("chat", "好", str(day(5))),
    ]  # fmt: skip
    lines = [f"got,1,words{at},{source},{text},{when}\n" for at, (source, text, when) in enumerate(rows)]
    file.write_text("label,value,annotator,source,text,dt\n" + "".join(lines), "utf-8")
    done = do(import_annotations.JOB, context_for(seeded, file))
    assert done is not None
    assert reasons(seeded, file) == [
        (0, "annotation_ambiguous"), (3, "annotation_ambiguous"), (5, "annotation_unmatched"),
    ]  # fmt: skip
    found = annotated(seeded, *(f"words{at}" for at in range(6)))
    assert [row[:2] for row in found] == [("words1", "t4"), ("words2", "t6"), ("words4", "t7")]
    do(import_annotations.JOB, context_for(seeded, file, several_days="earliest"))
    assert annotated(seeded, "words0") == [("words0", "t3", "got", True)]
    assert annotated(seeded, "words3") == []  # of several sources it is still nobody's


def test_a_file_of_mostly_unusable_records_gives_nothing_and_the_others_all(seeded: Lake, tmp_path: Path) -> None:
    header = "label,value,annotator,text_id\n"
    (tmp_path / "bad.csv").write_bytes((header + "got,1,张三,t1\ngot,0,李四,t1\ngot,1,half,t1\n").encode("gbk"))
    (tmp_path / "good.csv").write_text(header + "got,1,whole,t1\n", "utf-8")
    (tmp_path / "silent.jsonl").write_text('{"label": [], "text_id": "t1", "annotator": "nobody"}\n', "utf-8")
    for _ in range(2):  # a schedule's second run does not take it for done
        with pytest.raises(RefusedError) as refused:
            run_to_its_error(context_for(seeded, tmp_path))
        told = str(refused.value)
        assert f"{tmp_path}/bad.csv: 2 of 3 records set aside: not_utf8 2" in told
        assert "annotations.encoding: gb18030" in told
        assert f"{tmp_path}/silent.jsonl: none of its 1 records holds an annotation" in told
        assert ("good.csv" in told, "all else is" in told) == (False, True)
        assert refused.value.exit_code == 4
        assert annotated(seeded, "half", "whole", "nobody") == [("whole", "t1", "got", True)]
    assert len(reasons(seeded, tmp_path / "bad.csv")) == 2
    for name in ("good.csv", "silent.jsonl"):
        (tmp_path / name).unlink()
    done = do(import_annotations.JOB, context_for(seeded, tmp_path, encoding="gb18030"))
    assert done is not None
    assert annotated(seeded, "half", "张三", "李四") == [
        ("half", "t1", "got", True), ("张三", "t1", "got", True), ("李四", "t1", "got", False),
    ]  # fmt: skip


def run_to_its_error(context: Context) -> None:
    """What the command does: the work, and then the error that it ends with."""
    done = do(import_annotations.JOB, context)
    assert done is not None
    if done.error is not None:
        raise done.error


def test_what_people_saw_in_a_spreadsheet_is_imported_unchanged(seeded: Lake, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_text("label,value,annotator,text_id\ngot,√,王五,t2\n", "utf-8")
    do(import_annotations.JOB, context_for(seeded, file))
    options = {"file": str(tmp_path / "out.csv"), "with_text": True}
    do(export_annotations.JOB, context_of(seeded, "annotate export", tasks=TASKS, options=options))
    assert (tmp_path / "out.csv").read_bytes().startswith(b"\xef\xbb\xbftask,label")
    before = versions(seeded, *BOTH)
    done = do(import_annotations.JOB, context_for(seeded, tmp_path / "out.csv"))
    assert done is not None
    assert (done.counts["set_aside"], done.error) == (0, None)
    assert seeded.log.version(tables.ANNOTATIONS) == before["annotations"]
