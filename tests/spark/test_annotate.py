"""Human labels find their texts in three ways; what finds none is set aside and told."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from jobs.ingestion import export_annotations, import_annotations
from jobs.lake import tables
from jobs.lake.store import Lake
from jobs.runtime.context import Context
from jobs.runtime.job import Done
from models import digests
from models.errors import DataError, SettingsError
from tests.support import add, context_of, day, do, rows_of, text_row, versions

pytestmark = pytest.mark.spark

TASKS = {"praise": {"scenes": ["live_chat"], "labels": {"asks": {}, "got": {}}}}
TEXTS = [
    text_row("t1", "夸夸我", source_id="1"), text_row("t2", "好", source_id="2"),
    text_row("t3", "好", dt=day(-1), source_id="3"), text_row("t4", "好", dt=day(-1), source="asr"),
    text_row("t5", "老师,好"),
]  # fmt: skip
BOTH = (tables.ANNOTATIONS, tables.REJECTED)


def record(**values: Any) -> dict[str, Any]:
    return {"task": "praise", "label": "asks", "value": True, "annotator": "li"} | values


RECORDS = [
    record(text_id="t1", annotated_at="2026-03-05T08:00:00"),
    record(source="chat", source_id="2", label="got", value="是"),
    record(source="chat", text="好", value=0, dt=str(day(-1))),
    record(source="chat", text="老师， 好", annotator="wu", value="No"),
    record(text_id="t1", value="no", annotated_at="2026-03-04T08:00:00"),
    record(text_id="nowhere"),
    record(source="chat", source_id="99", text="好"),
    record(source="chat", text="从来没有"),
    record(text_id="t1", label="unknown"),
    record(text_id="t1", value="maybe"),
    record(text_id="t1", annotator=""),
    record(),
]


def context_for(lake: Lake, file: Path | str, **mapping: Any) -> Context:
    mapping = {"max_set_aside_share": 1} | mapping
    return context_of(lake, "annotate import", tasks=TASKS, annotations=mapping, options={"file": str(file)})


def write(file: Path, records: list[dict[str, Any]]) -> Path:
    file.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in records), "utf-8")
    return file


@pytest.fixture(scope="module")
def imported(shared_lake: Callable[..., Lake], tmp_path_factory: pytest.TempPathFactory) -> tuple[Lake, Done, Path]:
    lake = shared_lake(tables.TEXTS, *BOTH)
    add(lake, tables.TEXTS, *TEXTS)
    file = write(tmp_path_factory.mktemp("annotations") / "a.jsonl", RECORDS)
    done = do(import_annotations.JOB, context_for(lake, file))
    assert done is not None
    return lake, done, file


def test_texts_are_found_by_id_by_the_sources_id_and_by_source_and_text(imported: tuple[Lake, Done, Path]) -> None:
    found = imported[0].read(tables.ANNOTATIONS)
    assert rows_of(found, "text_id", "label", "annotator", "value") == [
        ("t1", "asks", "li", True), ("t2", "got", "li", True), ("t3", "asks", "li", False), ("t5", "asks", "wu", False),
    ]  # fmt: skip


def test_an_annotation_carries_its_texts_hash_and_day(imported: tuple[Lake, Done, Path]) -> None:
    found = imported[0].read(tables.ANNOTATIONS)
    assert rows_of(found.where("text_id = 't3'"), "text_hash", "dt") == [(digests.of_text("好"), day(-1))]
    when = found.where("text_id = 't1'").selectExpr("cast(annotated_at as double)").collect()[0][0]
    assert when == datetime(2026, 3, 5, tzinfo=UTC).timestamp()


def test_what_cannot_be_used_is_set_aside_and_counted(imported: tuple[Lake, Done, Path]) -> None:
    lake, done, _ = imported
    reasons = {
        "annotation_unmatched": 3, "annotation_unknown_label": 1, "annotation_wrong_value": 1,
        "annotation_incomplete": 2,
    }  # fmt: skip
    assert done.counts == {"read": 12, "set_aside": 7, "annotations": 5} | reasons
    rejected = lake.read(tables.REJECTED)
    assert rows_of(rejected, "position", "reason") == sorted(
        [
            (5, "annotation_unmatched"), (6, "annotation_unmatched"), (7, "annotation_unmatched"),
            (8, "annotation_unknown_label"), (9, "annotation_wrong_value"), (10, "annotation_incomplete"),
            (11, "annotation_incomplete"),
        ],
        key=lambda row: (str(row[0]), row[1]),
    )  # fmt: skip
    raw = rejected.where("position = 7").collect()[0]["raw"]
    assert json.loads(bytes(raw)) == RECORDS[7]


def test_the_same_file_again_changes_nothing(imported: tuple[Lake, Done, Path]) -> None:
    lake, _, file = imported
    assert import_annotations.plan(context_for(lake, file)).steps == ()
    labels = {"asks": {}, "got": {}, "unknown": {}}
    more = {"praise": {"scenes": ["live_chat"], "labels": labels}}
    options = {"file": str(file)}
    context = context_of(lake, "annotate import", tasks=more, annotations={"max_set_aside_share": 1}, options=options)
    assert import_annotations.plan(context).steps != ()


def test_the_same_annotations_under_new_texts_change_nothing(imported: tuple[Lake, Done, Path]) -> None:
    lake, _, file = imported
    before = versions(lake, tables.ANNOTATIONS)
    add(lake, tables.TEXTS, text_row("t9", "别的"))
    done = do(import_annotations.JOB, context_for(lake, file))
    assert done is not None
    assert done.counts["set_aside"] == 0
    assert versions(lake, tables.ANNOTATIONS) == before
    assert lake.read(tables.REJECTED).count() == 7


def test_a_changed_value_updates_its_row(imported: tuple[Lake, Done, Path], tmp_path: Path) -> None:
    lake = imported[0]
    file = tmp_path / "b.csv"
    file.write_text("task,label,value,annotator,text_id\npraise,got,否,li,t2\npraise,got,是,wu,t2\n", "utf-8-sig")
    do(import_annotations.JOB, context_for(lake, file))
    found = lake.read(tables.ANNOTATIONS).where("label = 'got'")
    assert rows_of(found, "text_id", "annotator", "value") == [("t2", "li", False), ("t2", "wu", True)]


def test_a_file_that_is_not_there_or_of_another_kind_is_told(imported: tuple[Lake, Done, Path], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--file: no file at"):
        import_annotations.plan(context_for(imported[0], tmp_path / "none.csv"))
    (tmp_path / "a.xlsx").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"got the suffix '.xlsx', expected .csv, .tsv, .jsonl or .json"):
        do(import_annotations.JOB, context_for(imported[0], tmp_path / "a.xlsx"))


def test_a_file_with_names_of_its_own_is_read_by_the_mapping(imported: tuple[Lake, Done, Path], tmp_path: Path) -> None:
    lake = imported[0]
    with gzip.open(tmp_path / "c.tsv.gz", "wt", encoding="utf-8") as file:
        file.write("says\tact\n夸夸我\tasks-praise\n从来没有\tgot\n")
    mapping = {
        "columns": {"text": "says", "label": "act"}, "labels": {"asks-praise": "asks"},
        "constants": {"task": "praise", "source": "chat", "value": "1", "annotator": "dataset"},
    }  # fmt: skip
    options = {"file": str(tmp_path / "c.tsv.gz")}
    done = do(
        import_annotations.JOB, context_of(lake, "annotate import", tasks=TASKS, annotations=mapping, options=options)
    )
    assert done is not None
    assert done.counts["annotation_unmatched"] == 1
    found = lake.read(tables.ANNOTATIONS).where("annotator = 'dataset'")
    assert rows_of(found, "text_id", "label", "value") == [("t1", "asks", True)]


@pytest.mark.parametrize("broken", [b"", b"no gzip", gzip.compress(b"task,label\n" * 99)[:-9]])
def test_a_broken_gzip_is_refused_by_name(imported: tuple[Lake, Done, Path], tmp_path: Path, broken: bytes) -> None:
    (tmp_path / "d.csv.gz").write_bytes(broken)
    with pytest.raises(DataError, match=r"d.csv.gz: not whole gzip data"):
        do(import_annotations.JOB, context_for(imported[0], tmp_path / "d.csv.gz"))


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl"])
def test_what_is_exported_is_imported_again_as_it_was(
    imported: tuple[Lake, Done, Path], tmp_path: Path, suffix: str
) -> None:
    lake, file = imported[0], tmp_path / f"out.{suffix}"
    options = {"file": str(file), "with_text": suffix == "tsv"}
    done = do(export_annotations.JOB, context_of(lake, "annotate export", tasks=TASKS, options=options))
    assert done is not None
    rows = lake.read(tables.ANNOTATIONS).count()
    assert done.counts == {"annotations": rows}
    assert rows >= 4
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    assert (file.read_bytes()[:3] == b"\xef\xbb\xbf") == (suffix != "jsonl")
    written = file.read_text("utf-8")
    assert "2026-03-05T08:00:00+08:00" in written
    assert ("老师,好" in written) == (suffix == "tsv")
    before = versions(lake, *BOTH)
    again = do(import_annotations.JOB, context_for(lake, file))
    assert again is not None
    assert (again.counts["read"], again.counts["annotations"]) == (rows, rows)
    assert lake.log.version(tables.ANNOTATIONS) == before["annotations"]


def test_an_export_is_refused_before_it_begins(imported: tuple[Lake, Done, Path], tmp_path: Path) -> None:
    for name, told in (("out.xlsx", "ends with .csv, .tsv or .jsonl"), ("nowhere/out.csv", "is no folder")):
        context = context_of(imported[0], "annotate export", tasks=TASKS, options={"file": str(tmp_path / name)})
        with pytest.raises(SettingsError, match=told):
            export_annotations.plan(context)


def test_an_older_file_does_not_take_back_a_newer_answer(imported: tuple[Lake, Done, Path], tmp_path: Path) -> None:
    lake = imported[0]
    own = {"text_id": "t5", "annotator": "zhao"}
    for name, when, value in (("new", "2026-03-05", True), ("old", "2026-03-01", False), ("none", None, False)):
        file = write(tmp_path / f"{name}.jsonl", [record(**own, value=value, annotated_at=when)])
        do(import_annotations.JOB, context_for(lake, file))
    found = lake.read(tables.ANNOTATIONS).where("annotator = 'zhao'")
    assert rows_of(found, "value") == [(True,)]


def test_bad_lines_are_set_aside_and_the_file_may_be_named_by_a_uri(
    imported: tuple[Lake, Done, Path], tmp_path: Path
) -> None:
    lake = imported[0]
    good = "praise,asks,1,qian,t5,2026-03-05\n"
    bad = [
        "praise,asks,1,qian,t5\n",
        good.replace("-03-05", ""),
        good.replace("2026-03-05", "soon"),
        good[:-1] + ",x\n",
    ]
    (tmp_path / "a b.csv").write_text("task,label,value,annotator,text_id,annotated_at\n" + "".join([*bad, good]))
    nested = '{"task": "praise", "label": "asks", "annotator": "qian", "text_id": "t1", "value": ' + "[" * 900
    (tmp_path / "b.jsonl").write_text(nested + "]" * 900 + "}\n" + "[" * 200_000)
    place = "file://" + quote(str(tmp_path))
    done = do(import_annotations.JOB, context_for(lake, place))
    assert done is not None
    told = {name: count for name, count in done.counts.items() if name.startswith("annotation_")}
    assert sum(told.values()) == 6
    assert (told["annotation_wrong_time"], told["annotation_malformed"] + told.get("annotation_wrong_value", 0)) == (
        2,
        4,
    )
    assert rows_of(lake.read(tables.ANNOTATIONS).where("annotator = 'qian'"), "text_id") == [("t5",)]


def test_an_export_is_its_owners_and_harmless_in_a_spreadsheet(
    shared_lake: Callable[..., Lake], tmp_path: Path
) -> None:
    lake = shared_lake(tables.TEXTS, *BOTH)
    texts = ["=HYPERLINK(A1)", "＠SUM", "'=a", "-1", "好"]
    add(lake, tables.TEXTS, *(text_row(f"t{nth}", text) for nth, text in enumerate(texts)))
    rows = [record(text_id=f"t{nth}", annotator="=li") for nth in range(len(texts))]
    do(import_annotations.JOB, context_for(lake, write(tmp_path / "a.jsonl", rows)))
    context = context_of(
        lake, "annotate export", tasks=TASKS, options={"file": str(tmp_path / "out.csv"), "with_text": True}
    )
    do(export_annotations.JOB, context)
    assert (tmp_path / "out.csv").stat().st_mode & 0o777 == 0o600
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        cells = [cell for row in csv.DictReader(file) for cell in row.values()]
    assert not [cell for cell in cells if cell[:1] in tuple("=+-@＝＋－＠")]
    before = lake.log.version(tables.ANNOTATIONS)
    again = do(import_annotations.JOB, context_for(lake, tmp_path / "out.csv"))
    assert again is not None
    assert (again.counts["annotations"], again.counts["set_aside"]) == (5, 0)
    assert lake.log.version(tables.ANNOTATIONS) == before
