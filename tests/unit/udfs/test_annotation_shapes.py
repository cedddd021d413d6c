"""Annotations as people and tools write them: each shape gives the same answers, or says why it gives none."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from models import digests
from models.text.rules import CleaningSettings
from udfs.annotation_parsing import AnnotationRules, annotation_parser
from udfs.annotation_settings import AnnotationFiles, AnnotationSettings
from udfs.readers.sources import RecordLimits
from udfs.readers.survey import survey

LABELS = {"praise": ("asks", "got"), "sound": ("cannot_hear", "echo")}
TEXT = {"source": "chat", "text": "老师讲得真清楚"}
WHO = {"constants": {"source": "chat", "annotator": "team"}}
PRAISE = {"constants": {"source": "chat", "annotator": "team", "task": "praise"}}


def imported(path: Path, content: bytes | str, **mapping: Any) -> list[dict[str, Any]]:
    """The rows of a file of this content; as many records as its survey counts."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    kind = path.suffix[1:]
    settings = AnnotationSettings.model_validate(mapping)
    layout = AnnotationFiles(kind, settings, [label for labels in LABELS.values() for label in labels])
    counted = survey(str(path), layout)
    assert counted.refused is None, counted
    parse = annotation_parser(AnnotationRules(settings, LABELS, "Asia/Shanghai", RecordLimits()), CleaningSettings())
    batch = pa.RecordBatch.from_pylist([{"file": str(path), "format": kind}])
    rows = [row for batch in parse(iter([batch])) for row in batch.to_pylist()]
    assert [row["position"] for row in rows if row["part"] == 0] == list(range(counted.records))
    return rows


def said(rows: list[dict[str, Any]], *more: str) -> list[tuple[Any, ...]]:
    """Of each annotation its label and value; of a record that is set aside the reason."""
    told = [("label", "value", *more) if row["reason"] is None else ("reason",) for row in rows]
    return [
        tuple(row[name] for name in names)
        for row, names in zip(rows, told, strict=True)
        if row["label"] or row["reason"]
    ]


def table(*rows: tuple[Any, ...], delimiter: str = ",") -> str:
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return out.getvalue()


def array(*records: dict[str, Any]) -> str:
    return json.dumps(records, ensure_ascii=False, indent=1)


def lines(*records: dict[str, Any]) -> str:
    return "\n".join(json.dumps(record, ensure_ascii=False) for record in records)


# --- values ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        *((one, True) for one in ("1.0", "１", "１．０", "√", "✓", "✔️", "对", "是", "有", "T", "TRUE", "Ｙｅｓ")),
        *((one, False) for one in ("0.0", "０", "0.", "×", "✗", "✘", "错", "否", "无", "F", "False", "no")),
    ],
)
def test_a_truth_may_be_a_sign_a_word_or_a_float(tmp_path: Path, value: str, wanted: bool) -> None:
    content = table(("label", "value", "text"), ("got", value, TEXT["text"]))
    assert said(imported(tmp_path / "a.csv", content, **WHO)) == [("got", wanted)]


@pytest.mark.parametrize("value", ["2", "0.5", "1.5", "10", "01", "-1", "x", "?", "", " ", "nan", "1.0.0", "1e0"])
def test_what_is_no_truth_is_a_wrong_value(tmp_path: Path, value: str) -> None:
    content = table(("label", "value", "text"), ("got", value, TEXT["text"]))
    assert said(imported(tmp_path / "a.csv", content, **WHO)) == [("annotation_wrong_value",)]


def test_a_column_of_floats_in_parquet_is_one_of_truths(tmp_path: Path) -> None:
    columns = {"label": ["got", "got", "got"], "value": [1.0, 0.0, None], "text": ["好"] * 3}
    pq.write_table(pa.table(columns), tmp_path / "made.parquet")
    rows = imported(tmp_path / "a.parquet", (tmp_path / "made.parquet").read_bytes(), **WHO)
    assert said(rows) == [("got", True), ("got", False), ("annotation_wrong_value",)]


def test_labels_that_are_numbers_mean_the_same_in_every_format(tmp_path: Path) -> None:
    mapping = {"labels": {"1": "got", "0": "asks"}, "constants": WHO["constants"] | {"value": "1"}}
    wanted = [("got", True), ("asks", True)]
    assert said(imported(tmp_path / "a.csv", table(("text", "label"), ("好", 1), ("坏", 0)), **mapping)) == wanted
    assert (
        said(imported(tmp_path / "b.csv", table(("text", "label"), ("好", "1.0"), ("坏", "0.0")), **mapping)) == wanted
    )
    records = [{"text": "好", "label": 1}, {"text": "坏", "label": 0}]
    assert said(imported(tmp_path / "a.jsonl", lines(*records), **mapping)) == wanted
    assert said(imported(tmp_path / "a.json", array(*records), **mapping)) == wanted
    pq.write_table(pa.table({"text": ["好", "坏"], "label": [1.0, 0.0]}), tmp_path / "made.parquet")
    assert said(imported(tmp_path / "a.parquet", (tmp_path / "made.parquet").read_bytes(), **mapping)) == wanted


# --- lists ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cell",
    ["got|asks", "got,asks", "got, asks", "got；asks", "got、asks", "got#asks", '["got","asks"]', "['got', 'asks']",
     '{"choices":["got","asks"]}', '{"got": 1, "asks": true}'],
)  # fmt: skip
def test_labels_in_one_cell_are_told_apart(tmp_path: Path, cell: str) -> None:
    content = table(("text", "label"), ("好", cell), ("坏", "asks"))
    assert said(imported(tmp_path / "a.csv", content, **WHO)) == [("got", True), ("asks", True), ("asks", True)]


def test_a_separator_of_their_own_is_declared(tmp_path: Path) -> None:
    content = table(("text", "label"), ("好", "got / asks"), ("坏", "got /other"))
    rows = imported(tmp_path / "a.csv", content, list_separator="/", shape="list", **WHO)
    assert said(rows) == [("got", True), ("asks", True), ("annotation_unknown_label",)]
    assert said(imported(tmp_path / "b.csv", content, **WHO)) == [("annotation_unknown_label",)] * 2


def test_what_a_list_leaves_out_is_denied_where_the_settings_say_so(tmp_path: Path) -> None:
    content = table(("text", "label"), ("好", "got"), ("坏", "[]"), ("中", ""))
    assert said(imported(tmp_path / "a.csv", content, **PRAISE)) == [("got", True)]
    denied = imported(tmp_path / "a.csv", content, unlisted="denied", **PRAISE)
    assert said(denied, "position") == [("got", True, 0), ("asks", False, 0), ("asks", False, 1), ("got", False, 1)]
    alone = imported(tmp_path / "b.csv", table(("text", "label"), ("好", "got")), unlisted="denied", **WHO)
    assert said(alone) == [("got", True), ("asks", False)]  # of the task of its labels, and of no other


def test_an_empty_list_of_no_task_denies_nothing(tmp_path: Path) -> None:
    rows = imported(tmp_path / "a.csv", table(("text", "label"), ("好", "[]")), unlisted="denied", **WHO)
    assert said(rows) == [("annotation_unknown_label",)]


def test_the_long_form_has_nothing_unlisted() -> None:
    with pytest.raises(ValidationError, match="shape: list"):
        AnnotationSettings.model_validate({"shape": "long", "unlisted": "denied"})


def test_a_record_with_a_label_nobody_knows_is_set_aside_whole(tmp_path: Path) -> None:
    content = table(("text", "label"), ("好", '["got", "other"]'))
    assert said(imported(tmp_path / "a.csv", content, **WHO)) == [("annotation_unknown_label",)]
    left_out = imported(tmp_path / "a.csv", content, labels={"other": None}, **WHO)
    assert said(left_out) == [("got", True)]


def test_a_row_of_the_long_form_keeps_its_value(tmp_path: Path) -> None:
    content = table(("text", "label", "value"), ("好", "got", "0"), ("好", "got|asks", "0"))
    assert said(imported(tmp_path / "a.csv", content, **WHO)) == [("got", False), ("got", False), ("asks", False)]


# --- a column a label -----------------------------------------------------------------------------------------


def test_a_column_a_label_is_read_by_the_labels_names(tmp_path: Path) -> None:
    content = table(
        ("text", "got", "asks", "echo", "note"), ("好", 1, 0, "", "a"), ("坏", "√", "", "×", "1"), ("中", *[""] * 4)
    )
    rows = imported(tmp_path / "a.csv", content, **WHO)
    assert said(rows, "task", "position") == [
        ("got", True, "praise", 0), ("asks", False, "praise", 0), ("got", True, "praise", 1),
        ("echo", False, "sound", 1),
    ]  # fmt: skip
    assert rows[-1]["label"] is None  # nobody looked at it
    denied = imported(tmp_path / "a.csv", content, unlisted="denied", **WHO)
    assert said(denied)[:3] == [("got", True), ("asks", False), ("echo", False)]
    assert ("cannot_hear", False) not in said(denied)  # no column asked about it
    assert denied[-1]["label"] is None


def test_columns_of_other_names_are_mapped(tmp_path: Path) -> None:
    content = table(("内容", "夸奖", "求夸", "备注"), ("好", 1, "maybe", ""), ("坏", 1, 0, ""))
    mapping = {"columns": {"text": "内容"}, "labels": {"夸奖": "got", "求夸": "asks", "备注": None}} | WHO
    rows = imported(tmp_path / "a.csv", content.encode("gbk"), encoding="gbk", **mapping)
    assert said(rows) == [("annotation_wrong_value",), ("got", True), ("asks", False)]
    assert rows[1]["text_hash"] == digests.of_text("坏")


def test_a_wide_parquet_file_has_its_nulls_left_out(tmp_path: Path) -> None:
    columns = {"text": ["好", "坏"], "got": [1.0, None], "asks": [float("nan"), 0.0], "more": [1, 2]}
    pq.write_table(pa.table(columns), tmp_path / "made.parquet")
    rows = imported(tmp_path / "a.parquet", (tmp_path / "made.parquet").read_bytes(), **WHO)
    assert said(rows, "position") == [("got", True, 0), ("asks", False, 1)]


def test_a_wide_file_of_json_lines_is_one_too(tmp_path: Path) -> None:
    rows = imported(tmp_path / "a.jsonl", lines(TEXT | {"annotator": 7, "got": True, "asks": 0}))
    assert said(rows, "annotator") == [("got", True, "7"), ("asks", False, "7")]


# --- Label Studio ---------------------------------------------------------------------------------------------


def result(*choices: str, control: str = "sentiment") -> dict[str, Any]:
    return {"from_name": control, "to_name": "text", "type": "choices", "value": {"choices": list(choices)}}


def annotation(who: Any, *results: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "id": 11, "completed_by": who, "was_cancelled": False, "result": list(results), "task": 1,
        "created_at": "2026-03-02T01:00:00.123456Z", "updated_at": "2026-03-02T02:00:00.123456Z",
    } | more  # fmt: skip


def task(*annotations: dict[str, Any], **data: Any) -> dict[str, Any]:
    return {"id": 1, "data": {"text": "好"} | data, "annotations": list(annotations), "predictions": [], "meta": {}}


def test_a_label_studio_export_gives_each_annotators_choices(tmp_path: Path) -> None:
    content = array(
        task(annotation(1, result("got", "asks")), annotation({"id": 2, "email": "li@example.org"}, result("got"))),
        task(annotation(1, was_cancelled=True), text="坏"),
        task(text="中"),
        task(annotation(3, result("other"))),
    )
    rows = imported(tmp_path / "a.json", content, constants={"source": "chat"})
    assert said(rows, "annotator", "position", "part") == [
        ("got", True, "1", 0, 0), ("asks", True, "1", 0, 1), ("got", True, "li@example.org", 0, 2),
        ("annotation_unknown_label",),
    ]  # fmt: skip
    assert str(rows[0]["annotated_at"]) == "2026-03-02 02:00:00.123456+00:00"
    assert [row["position"] for row in rows if not row["label"]] == [1, 2, 3]


def test_what_an_annotator_did_not_choose_is_denied_but_not_what_was_skipped(tmp_path: Path) -> None:
    content = array(task(annotation(1, result("got")), annotation(2, was_cancelled=True)), task(annotation(2)))
    rows = imported(tmp_path / "a.json", content, unlisted="denied", constants={"source": "chat", "task": "praise"})
    assert said(rows, "annotator") == [
        ("got", True, "1"), ("asks", False, "1"), ("asks", False, "2"), ("got", False, "2"),
    ]  # fmt: skip


def test_controls_are_tasks_or_one_of_them_is_named(tmp_path: Path) -> None:
    both = task(annotation(1, result("got", control="praise"), result("echo", control="sound")), msg="m1", from_="chat")
    content = array(both)
    mapping = {"columns": {"source_id": "msg", "source": "from_"}}
    rows = imported(tmp_path / "a.json", content, **mapping)
    assert said(rows, "task", "source", "source_id") == [
        ("got", True, "praise", "chat", "m1"), ("echo", True, "sound", "chat", "m1"),
    ]  # fmt: skip
    named = {"columns": mapping["columns"] | {"label": "sound"}}
    assert said(imported(tmp_path / "a.json", content, **named)) == [("echo", True)]


def test_labels_of_parts_of_a_text_are_refused_by_name(tmp_path: Path) -> None:
    part = {"from_name": "ner", "type": "labels", "value": {"start": 0, "end": 2, "labels": ["got"]}}
    rows = imported(tmp_path / "a.json", array(task(annotation(1, part))), constants={"source": "chat"})
    assert said(rows) == [("annotation_label_of_part",)]
    records = [{"text": "好的", "label": [[0, 2, "got"]]}, {"text": "好", "entities": [{"start_offset": 0}]}]
    assert said(imported(tmp_path / "a.jsonl", lines(*records), **WHO)) == [("annotation_label_of_part",)] * 2


def test_a_label_studio_csv_gives_one_choice_and_several(tmp_path: Path) -> None:
    header = ("annotation_id", "annotator", "created_at", "id", "lead_time", "sentiment", "text", "updated_at")
    when = "2026-03-02T01:00:00.123456Z"
    content = table(
        header,
        (11, 1, when, 1, 3.2, "got", "好", when),
        (12, 2, when, 1, 3.2, '{"choices":["got","asks"]}', "好", when),
        (13, 1, when, 2, 3.2, "", "坏", when),
    )
    mapping = {
        "columns": {"text": "text", "label": "sentiment", "annotator": "annotator", "annotated_at": "updated_at"},
        "constants": {"task": "praise", "source": "chat", "value": "1"},
    }  # fmt: skip
    rows = imported(tmp_path / "a.csv", content, **mapping)
    assert said(rows, "annotator") == [("got", True, "1"), ("got", True, "2"), ("asks", True, "2")]
    assert rows[-1]["label"] is rows[-1]["reason"] is None
    less = imported(tmp_path / "b.csv", content, columns={"label": "sentiment"}, constants={"source": "chat"})
    assert said(less, "annotator") == said(rows, "annotator")
    assert all(row["annotated_at"] for row in less[:-1])


def test_label_studios_json_min_is_a_list_too(tmp_path: Path) -> None:
    common = {"annotation_id": 1, "lead_time": 2.5, "annotator": 4, "updated_at": "2026-03-02T01:00:00Z", "id": 1}
    content = array(
        common | {"text": "好", "sentiment": "got"}, common | {"text": "坏", "sentiment": {"choices": ["got", "asks"]}}
    )
    rows = imported(tmp_path / "a.json", content, columns={"label": "sentiment"}, constants={"source": "chat"})
    assert said(rows, "annotator", "position") == [("got", True, "4", 0), ("got", True, "4", 1), ("asks", True, "4", 1)]


# --- doccano --------------------------------------------------------------------------------------------------


def test_a_doccano_export_gives_lists(tmp_path: Path) -> None:
    records = [
        {"id": 1, "text": "好", "label": ["got", "asks"]}, {"id": 2, "data": "坏", "label": ["asks"]},
        {"id": 3, "text": "中", "label": []},
    ]  # fmt: skip
    rows = imported(tmp_path / "a.jsonl", lines(*records), **PRAISE)
    assert said(rows, "position") == [("got", True, 0), ("asks", True, 0), ("asks", True, 1)]
    assert rows[2]["text_hash"] == digests.of_text("坏")
    denied = imported(tmp_path / "a.jsonl", lines(*records), unlisted="denied", shape="doccano", **PRAISE)
    assert said(denied, "position")[-2:] == [("asks", False, 2), ("got", False, 2)]


def test_doccanos_cats_say_of_each_label_whether_it_holds(tmp_path: Path) -> None:
    records = [{"text": "好", "cats": {"got": 1, "asks": 0.0}}, {"text": "坏", "cats": {"got": 0.7}}]
    rows = imported(tmp_path / "a.jsonl", lines(*records), **WHO)
    assert said(rows) == [("got", True), ("asks", False), ("annotation_wrong_value",)]
    named = imported(tmp_path / "b.jsonl", lines({"text": "好", "cats": ["got"]}), shape="doccano", **WHO)
    assert said(named) == [("got", True)]


def test_a_doccano_csv_has_its_labels_in_one_cell(tmp_path: Path) -> None:
    content = table(("id", "data", "label"), (1, "好", "got#asks"), (2, "坏", "got"), (3, "中", ""))
    rows = imported(tmp_path / "a.csv", content, **WHO)
    assert said(rows, "position") == [("got", True, 0), ("asks", True, 0), ("got", True, 1)]
    assert rows[0]["text_hash"] == digests.of_text("好")


# --- files of Chinese spreadsheets ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("encoding", "delimiter", "mapping"),
    [
        ("gbk", ",", {"encoding": "gbk"}),
        ("gb18030", ";", {"encoding": "gb18030", "dialect": {"delimiter": ";"}}),
        ("utf-16", "\t", {"encoding": "utf-16", "dialect": {"delimiter": "\t"}}),
        ("utf-8-sig", ";", {"dialect": {"delimiter": ";"}}),
    ],
)
def test_what_excel_saves_is_read_in_its_encoding(
    tmp_path: Path, encoding: str, delimiter: str, mapping: dict[str, Any]
) -> None:
    content = table(
        ("label", "value", "annotator", "source", "text"), ("got", "是", "张三", "chat", "好"),
        ("got", "否", "李四", "chat", "好"), ("got", "是", "王五", "chat", "坏"), delimiter=delimiter,
    )  # fmt: skip
    rows = imported(tmp_path / "a.csv", content.encode(encoding), **mapping)
    assert said(rows, "annotator") == [("got", True, "张三"), ("got", False, "李四"), ("got", True, "王五")]


def test_people_of_another_encoding_never_become_one(tmp_path: Path) -> None:
    content = table(("label", "value", "annotator", "text_id"), ("got", 1, "张三", "m1"), ("got", 0, "李四", "m1"))
    assert said(imported(tmp_path / "a.csv", content.encode("gbk"))) == [("annotation_not_utf8",)] * 2


def test_a_header_of_another_encoding_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(table(("内容", "label"), ("好", "got")).encode("gbk"))
    layout = AnnotationFiles("csv", AnnotationSettings(columns={"text": "内容"}))
    assert "encoding: gb18030" in str(survey(str(tmp_path / "a.csv"), layout).detail)


def test_a_file_that_lacks_a_named_column_is_refused_by_it(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(table(("text", "label"), ("好", "got")))
    layout = AnnotationFiles("csv", AnnotationSettings(columns={"text": "content", "label": "lable"}))
    surveyed = survey(str(tmp_path / "a.csv"), layout)
    assert (surveyed.refused, surveyed.detail) == ("file_header", "no column content, lable")


# --- tasks, times and days ------------------------------------------------------------------------------------


def test_a_slashed_time_decides_the_last_word(tmp_path: Path) -> None:
    header = ("label", "value", "text", "annotated_at")
    content = table(
        header, ("got", 0, "好", "2026/3/5 8:00"), ("got", 1, "好", "2026/3/1 8:00"), ("got", 1, "好", "5 March")
    )
    first, second, third = imported(tmp_path / "a.csv", content, **WHO)
    assert first["annotated_at"] > second["annotated_at"]
    assert third["reason"] == "annotation_wrong_time"


def test_a_label_of_several_tasks_needs_its_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LABELS, "more", ("got",))
    content = table(("text", "label"), ("好", "got"), ("坏", "echo"))
    assert said(imported(tmp_path / "a.csv", content, **WHO), "task") == [
        ("annotation_unknown_label",), ("echo", True, "sound"),
    ]  # fmt: skip
    (first, second) = imported(tmp_path / "a.csv", content, **PRAISE)
    assert (first["task"], second["reason"]) == ("praise", "annotation_unknown_label")


def test_a_name_is_the_same_however_its_accents_are_composed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LABELS, "more", ("caf\u00e9",))
    content = table(("text", "label"), ("好", "cafe\u0301"), ("坏", "got|cafe\u0301"))
    assert said(imported(tmp_path / "a.csv", content, **WHO)) == [
        ("caf\u00e9", True), ("got", True), ("caf\u00e9", True),
    ]  # fmt: skip


def test_a_day_is_read_where_the_text_is_told_by_its_words(tmp_path: Path) -> None:
    header = ("label", "value", "text", "source_id", "dt", "event_time")
    content = table(
        header, ("got", 1, "好", "", "2026/3/1", ""), ("got", 1, "好", "", "", "2026-03-01T17:00:00Z"),
        ("got", 1, "好", "", "soon", ""), ("got", 1, "", "m1", "soon", ""), ("got", 1, "好", "", "", ""),
    )  # fmt: skip
    rows = imported(tmp_path / "a.csv", content, **WHO)
    assert [str(row["day"]) for row in rows] == ["2026-03-01", "2026-03-02", "None", "None", "None"]
    assert rows[2]["reason"] == "annotation_wrong_time"
    assert rows[3]["reason"] is None  # an id needs no day


def test_what_a_record_lacks_is_said(tmp_path: Path) -> None:
    (row,) = imported(tmp_path / "a.csv", table(("text", "lable"), ("好", "got")), shape="list", **WHO)
    assert (row["reason"], "column label" in row["detail"]) == ("annotation_unknown_label", True)
    (row,) = imported(tmp_path / "b.csv", table(("text", "label"), ("好", "got")), constants={"source": "chat"})
    assert (row["reason"], "column annotator" in row["detail"]) == ("annotation_incomplete", True)
    (row,) = imported(tmp_path / "c.jsonl", lines({"text": "好", "label": "got"}), **WHO)
    assert (row["reason"], "shape: list" in row["detail"]) == ("annotation_wrong_value", True)


def test_a_taxonomy_names_its_leaves(tmp_path: Path) -> None:
    tree = {"from_name": "tree", "type": "taxonomy", "value": {"taxonomy": [["praise", "got"], ["asks"]]}}
    task = {"id": 1, "data": {"text": "好"}, "annotations": [{"completed_by": 7, "result": [tree]}]}
    found = imported(tmp_path / "a.json", json.dumps([task]), constants={"source": "chat"})
    assert said(found) == [("got", True), ("asks", True)]


def test_a_record_without_its_text_is_incomplete_and_not_merely_unmatched(tmp_path: Path) -> None:
    task = {"id": 1, "data": {"spoken": "好"}, "annotations": [{"completed_by": 7, "result": [
        {"from_name": "a", "type": "choices", "value": {"choices": ["got"]}}]}]}  # fmt: skip
    (row,) = imported(tmp_path / "a.json", json.dumps([task]), constants={"source": "chat"})
    assert (row["reason"], row["detail"]) == (
        "annotation_incomplete",
        "neither text_id, nor source with source_id, nor text",
    )
