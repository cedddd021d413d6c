"""From files of texts to files of scores: every row met once, whatever the cut, and nothing left of a failure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.export.exporter import export_student
from models.serving.open_engine import open_engine
from models.student_settings import TextCNNSettings
from models.students.architectures import build_student
from models.text.vocabulary import Vocabulary
from udfs import data_files, file_scoring, student_scoring
from udfs.data_files import PartitionWriter, files_of, to_files
from udfs.file_scoring import FileScoring, Piece, ServedTask, score_pieces, written_files
from udfs.model_files import ModelFiles
from udfs.storage import Storage
from udfs.student_scoring import Served

VOCABULARY = Vocabulary(tuple("abc好老师"))
SETTLED = pa.list_(pa.struct([(name, pa.string()) for name in ("task", "label", "outcome", "rule")]))
TEXTS = pa.schema([
    ("text_id", pa.string()), ("scene", pa.string()), ("text", pa.string()), ("clean_version", pa.string()),
    ("settled", SETTLED),
])  # fmt: skip
SCENES = {"praise": ("chat", "photo"), "mood": ("chat",)}
Row = tuple[str | None, str, tuple[str, ...]]


@pytest.fixture(scope="module")
def students(tmp_path_factory: pytest.TempPathFactory) -> tuple[ServedTask, ...]:
    made = []
    for seed, task in enumerate(SCENES):
        torch.manual_seed(seed)
        sizes = TextCNNSettings(embedding=4, filters=3, widths=(2, 3), max_length=12)
        bundle = export_student(
            build_student(sizes, len(VOCABULARY), 2), folder=tmp_path_factory.mktemp("bundles") / task, task=task,
            kind="textcnn", labels=("a", "b"), vocabulary=VOCABULARY, max_length=12, clean_version="1",
            model_id=f"{task}/textcnn/0",
        )  # fmt: skip
        served = Served(f"{task}/textcnn/0", ModelFiles(str(bundle)), f"wanted_{seed}")
        made.append(ServedTask(served, task, SCENES[task]))
    return tuple(made)


def entry(task: str) -> dict[str, str]:
    return {"task": task, "label": "a", "outcome": "positive", "rule": "r"}


def write_texts(folder: Path, day: str, number: int, rows: Iterable[Row], row_group: int) -> str:
    path = f"dt={day}/{number}.parquet"
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    columns = [
        {
            "text_id": f"{day}-{number}-{at}", "scene": scene, "text": text, "clean_version": "1",
            "settled": [entry(task) for task in settled],
        }
        for at, (text, scene, settled) in enumerate(rows)
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(columns, TEXTS), folder / path, row_group_size=row_group)
    return path


def work_of(folder: Path, students: tuple[ServedTask, ...]) -> FileScoring:
    (folder / "out").mkdir(exist_ok=True)
    return FileScoring(Storage(str(folder)), Storage(str(folder / "out")), students, "auto", ((),))


def rows_in(folder: Path) -> dict[tuple[str, str], tuple[Any, ...]]:
    found = {}
    for path in (folder / "out").rglob("*.parquet"):
        for row in pq.ParquetFile(path).read().to_pylist():
            key = row["text_id"], path.parent.name.removeprefix("model_id=").split("-")[0]
            assert key not in found
            found[key] = (row["scene"], row["probs"], row["error"], path.parent.parent.name)
    return found


ROWS = st.lists(
    st.tuples(
        st.one_of(st.none(), st.text("abc好老师😀", max_size=16)), st.sampled_from(["chat", "photo", "speech"]),
        st.sampled_from([(), (), (), ("praise",), ("mood",), ("*",), ("praise", "mood"), ("elsewhere",)]),
    ),
    max_size=9,
)  # fmt: skip


@given(days=st.lists(ROWS, min_size=1, max_size=3), row_group=st.integers(1, 4))
@settings(deadline=None, max_examples=30)
def test_every_text_that_no_rule_settled_is_scored_once_by_each_student(
    tmp_path_factory: pytest.TempPathFactory, students: tuple[ServedTask, ...], days: list[list[Row]], row_group: int
) -> None:
    folder = tmp_path_factory.mktemp("scored")
    pieces, wanted, read, settled = [], set(), 0, dict.fromkeys(SCENES, 0)
    for at, rows in enumerate(days):
        day = f"2026-03-0{at % 2 + 1}"
        path = write_texts(folder, day, at, rows, row_group)
        groups = pq.ParquetFile(folder / path).metadata.num_row_groups
        pieces += [Piece(path, day, (group,)) for group in range(groups)] or [Piece(path, day)]
        read += len(rows)
        for number, (_, scene, rules) in enumerate(rows):
            for task, scenes in SCENES.items():
                by_rule = scene in scenes and bool({task, "*"} & set(rules))
                settled[task] += by_rule
                if scene in scenes and not by_rule:
                    wanted.add((f"{day}-{at}-{number}", task))
    told = pa.Table.from_batches(list(score_pieces(work_of(folder, students), pieces[::-1])), file_scoring.WRITTEN)
    found = rows_in(folder)
    assert found.keys() == wanted
    assert {text_id[:10] for text_id, _ in found} == {row[3].removeprefix("dt=") for row in found.values()}
    for task, student in zip(SCENES, students, strict=True):
        rows = [row for row in told.to_pylist() if row["model_id"] == student.served.model_id]
        assert sum(row["read"] for row in rows) == read
        assert sum(row["settled"] for row in rows) == settled[task]
        assert sum(row["rows"] for row in rows) == sum(key[1] == task for key in found)
    errors = sum(row["errors"] for row in told.to_pylist())
    assert errors == sum(error == "no_text" and probs is None for _, probs, error, _ in found.values())
    files = written_files(told)
    assert {file.path for file in files} == {
        path.relative_to(folder / "out").as_posix() for path in (folder / "out").rglob("*.parquet")
    }
    assert all((folder / "out" / file.path).stat().st_size == file.size for file in files)


def test_a_score_is_what_the_engine_says_of_the_text_alone(tmp_path: Path, students: tuple[ServedTask, ...]) -> None:
    texts = ["好老师", "abc", "", "好" * 40]
    path = write_texts(tmp_path, "2026-03-01", 0, [(text, "chat", ()) for text in texts], 2)
    list(score_pieces(work_of(tmp_path, students), [Piece(path, "2026-03-01")]))
    found = rows_in(tmp_path)
    for student in students:
        engine = open_engine(student.served.files.place)
        for at, text in enumerate(texts):
            probs = found[f"2026-03-01-0-{at}", student.task][1]
            np.testing.assert_allclose(probs, engine.probabilities(pa.array([text]))[0], rtol=0, atol=1e-6)


def test_rows_wait_for_whole_row_groups_and_files_are_rolled(
    tmp_path: Path, students: tuple[ServedTask, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [("好老师", "chat", ())] * 100
    path = write_texts(tmp_path, "2026-03-01", 0, rows, 100)
    monkeypatch.setattr(file_scoring, "BATCH_ROWS", 10)
    told = pa.Table.from_batches(list(score_pieces(work_of(tmp_path, students[:1]), [Piece(path, "2026-03-01")])))
    (file,) = written_files(told)
    assert pq.ParquetFile(tmp_path / "out" / file.path).metadata.num_row_groups == 1
    monkeypatch.setattr(file_scoring, "_KEPT_BYTES", 0)
    monkeypatch.setattr(data_files, "ROLL_BYTES", 1)
    told = pa.Table.from_batches(list(score_pieces(work_of(tmp_path, students[:1]), [Piece(path, "2026-03-01")])))
    assert [file.rows for file in written_files(told)] == [10] * 10


def test_nothing_stays_of_a_task_that_fails(tmp_path: Path, students: tuple[ServedTask, ...]) -> None:
    good = write_texts(tmp_path, "2026-03-01", 0, [("好", "chat", ())] * 3, 1)
    bad = "dt=2026-03-02/broken.parquet"
    (tmp_path / "dt=2026-03-02").mkdir()
    (tmp_path / bad).write_bytes(b"PAR1 no parquet PAR1")
    with pytest.raises(pa.ArrowInvalid):
        list(score_pieces(work_of(tmp_path, students), [Piece(good, "2026-03-01"), Piece(bad, "2026-03-02")]))
    assert list((tmp_path / "out").rglob("*.parquet")) == []


def test_any_number_of_students_is_opened_once_and_let_go_when_it_no_longer_serves(
    tmp_path: Path, students: tuple[ServedTask, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    def counted(bundle: Path, *arguments: Any, **named: Any) -> Any:
        opened.append(str(bundle))
        return open_engine(bundle, *arguments, **named)

    monkeypatch.setattr(student_scoring, "open_engine", counted)
    student_scoring.keep_open([])
    one = students[0].served
    many = []
    for number in range(20):
        (link := tmp_path / f"bundle{number}").symlink_to(one.files.place)
        many.append(
            ServedTask(Served(one.model_id, ModelFiles(str(link)), f"wanted_{number}"), "praise", SCENES["praise"])
        )
    path = write_texts(tmp_path, "2026-03-01", 0, [("好", "chat", ())] * 6, 2)
    monkeypatch.setattr(file_scoring, "BATCH_ROWS", 2)
    list(score_pieces(work_of(tmp_path, tuple(many)), [Piece(path, "2026-03-01")]))
    assert sorted(opened) == sorted(one.served.files.place for one in many)
    student_scoring.keep_open([many[3].served])
    assert [key[0] for key in student_scoring._OPEN] == [many[3].served.key]


def test_columns_that_hardly_repeat_have_neither_dictionary_nor_statistics(tmp_path: Path) -> None:
    rows = pa.table({"text_id": ["a", "b"], "scene": ["chat", "chat"], "probs": [[0.5], [0.25]]})
    writer = PartitionWriter(Storage(str(tmp_path)).open(), {"dt": "2026-03-01"}, ("text_id", "probs.list.element"))
    for batch in rows.to_batches():
        writer.write(batch)
    (file,) = writer.close()
    group = pq.ParquetFile(tmp_path / file.path).metadata.row_group(0)
    columns = {group.column(at).path_in_schema: group.column(at) for at in range(group.num_columns)}
    assert {name for name, one in columns.items() if one.statistics is not None} == {"scene"}
    assert {name for name, one in columns.items() if one.has_dictionary_page} == {"scene"}
    assert date.fromisoformat(str(file.partition["dt"])) == date(2026, 3, 1)


def test_a_batch_functions_rows_go_to_a_file_a_partition(tmp_path: Path) -> None:
    def two_a_bucket(_: Any) -> Any:
        for bucket in (0, 0, 3):
            yield pa.RecordBatch.from_pydict({"model_id": ["m/a"] * 2, "bucket": [bucket] * 2, "x": [bucket, 1]})
        yield pa.RecordBatch.from_pydict({"model_id": [], "bucket": [], "x": []})

    write = to_files(two_a_bucket, Storage(str(tmp_path)), ("model_id", "bucket"))
    files = files_of(pa.Table.from_batches(list(write(iter([])))))
    assert [(file.partition, file.rows) for file in files] == [
        ({"model_id": "m/a", "bucket": "0"}, 4), ({"model_id": "m/a", "bucket": "3"}, 2)
    ]  # fmt: skip
    assert pq.ParquetFile(tmp_path / files[0].path).read().to_pydict() == {"x": [0, 1, 0, 1]}

    def failing(_: Any) -> Any:
        yield from two_a_bucket(_)
        raise ValueError("worker lost")

    with pytest.raises(ValueError, match="worker lost"):
        list(to_files(failing, Storage(str(tmp_path / "other")), ("bucket",))(iter([])))
    assert not list((tmp_path / "other").rglob("*.parquet"))
