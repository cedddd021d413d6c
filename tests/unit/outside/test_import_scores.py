"""Scores from outside become a teacher, once; asked again it is asked for what it has not scored. No session."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from jobs.lake import registry, tables
from jobs.lake.store import Lake
from jobs.outside import ask, import_scores
from jobs.runtime.job import Done
from models import digests
from models.errors import DataError, RefusedError, SettingsError
from tests.support import DAY, add, context_of, day, do, fill, model_row, rule, text_row

NAME = "praise/teacher/gpt"
ROUNDS = {"threshold_days": 1, "test_days": 1, "gate_days": 1, "min_train_days": 1}
TASK: dict[str, Any] = {"scenes": ["live_chat"], "labels": {"asks": {}, "got": {}}}


@pytest.fixture
def lake(bare_lake: Callable[..., Lake]) -> Lake:
    """Four days of ten texts; each day repeats one of the day before."""
    texts = [
        text_row(f"{number}-{at}", f"老师{number}{at}" if at else f"老师{max(number - 1, 0)}1", dt=day(number))
        for number in range(4)
        for at in range(10)
    ]
    elsewhere = [text_row("photo", scene="photo"), text_row("ruled", settled=[rule("praise", "negative")])]
    return fill(bare_lake(*tables.ALL), {tables.TEXTS: [*texts, *elsewhere]})


def tasks(**task: Any) -> dict[str, Any]:
    return {"praise": TASK | task}


def imported(
    lake: Lake, *places: object, name: str = "gpt", scale: str | None = None, again: bool = False, **settings: Any
) -> Done | None:
    options = {"places": [str(one) for one in places], "name": name, "scale": scale, "again": again}
    context = context_of(
        lake, "teacher import-scores", options=options, **({"tasks": tasks(), "rounds": ROUNDS} | settings)
    )
    done = do(import_scores.JOB, context)
    if done is not None and done.error is not None:
        raise done.error
    return done


def asked(lake: Lake, file: Path, teacher: str | None = None, rows: int | None = None, **settings: Any) -> list[Any]:
    options = {"file": file, "rows": rows, "teacher": teacher}
    do(ask.JOB, context_of(lake, "teacher ask", options=options, **({"tasks": tasks(), "rounds": ROUNDS} | settings)))
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def answers(file: Path, rows: list[dict[str, Any]]) -> Path:
    file.write_text("".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows), "utf-8")
    return file


def stored(lake: Lake) -> dict[str, list[float]]:
    """The probabilities of `teacher_scores`."""
    rows = lake.rows(tables.TEACHER_SCORES)
    return {row["text_hash"]: [round(1 / (1 + math.exp(-one)), 3) for one in row["logits"]] for row in rows}


def test_what_is_asked_for_comes_back_as_a_teacher(lake: Lake, tmp_path: Path) -> None:
    texts = asked(lake, tmp_path / "ask.jsonl")
    assert {*texts[0]} == {"text_id", "text", "scene"}
    assert len({row["text"] for row in texts}) == len(texts) == 36, "each distinct text of the scenes, once"
    file = answers(tmp_path / "a.jsonl", [{"text": row["text"], "asks": "是", "got": 0.25} for row in texts])
    done = imported(lake, file)
    assert done is not None
    assert (done.counts["read"], done.counts["texts"]) == (36, 36)
    teacher = registry.newest_teacher(lake, "praise")
    assert (teacher.model_id, teacher.kind, teacher.labels, teacher.path) == (NAME, "external", ("asks", "got"), "")
    assert stored(lake) == {digests.of_text(row["text"]): [1.0, 0.25] for row in texts}
    (row, *_) = lake.rows(tables.TEACHER_SCORES)
    assert (row["cls"], row["projection_version"]) == ([], "")
    assert {(row["label"], row["value"], row["version"]) for row in lake.rows(tables.THRESHOLDS)} == {
        ("asks", 0.5, 1), ("got", 0.5, 1)
    }  # fmt: skip
    assert asked(lake, tmp_path / "ask.jsonl") == []
    assert imported(lake, file) is None

    add(lake, tables.TEXTS, text_row("new", "新的", dt=day(4)))  # the second night: the windows move on
    (new,) = asked(lake, tmp_path / "ask.jsonl")
    assert new["text"] == "新的"
    assert imported(lake, answers(tmp_path / "b.jsonl", [{"text_id": "new", "asks": 0, "got": 1}])) is not None
    assert stored(lake)[digests.of_text("新的")] == [0.0, 1.0]
    assert len(lake.rows(tables.MODELS)) == 1


def test_a_beginning_of_what_is_asked_for_is_a_fair_share_of_each_part(lake: Lake, tmp_path: Path) -> None:
    whole = asked(lake, tmp_path / "ask.jsonl")
    first = asked(lake, tmp_path / "ask.jsonl", rows=8)
    assert first == whole[:8]
    days = [row["text_id"].partition("-")[0] for row in first]
    assert {number: days.count(number) for number in "0123"} == {"0": 2, "1": 2, "2": 2, "3": 2}


def test_the_texts_of_a_teacher_are_asked_for_by_its_name(lake: Lake, tmp_path: Path) -> None:
    texts = asked(lake, tmp_path / "ask.jsonl")
    rows = [{"text_id": row["text_id"], "asks": 1, "got": 1} for row in texts]
    imported(lake, answers(tmp_path / "a.jsonl", rows[:30]))
    assert len(asked(lake, tmp_path / "ask.jsonl")) == len(asked(lake, tmp_path / "ask.jsonl", "gpt")) == 6
    assert asked(lake, tmp_path / "ask.jsonl", "praise/teacher/gpt") == texts[30:]
    assert asked(lake, tmp_path / "ask.jsonl", "other") == texts
    add(lake, tables.MODELS, model_row("praise/teacher/own", ["asks"], role="teacher", kind="bert"))
    with pytest.raises(SettingsError, match="own was trained here"):
        asked(lake, tmp_path / "ask.jsonl", "own")
    with pytest.raises(SettingsError, match="own was trained here"):
        imported(lake, tmp_path / "a.jsonl", name="own")


def test_what_cannot_be_used_is_set_aside_once_with_its_reason(lake: Lake, tmp_path: Path) -> None:
    file = answers(
        tmp_path / "a.jsonl",
        [
            *({"text_id": f"0-{at}", "asks": 0.5, "got": 0.5} for at in range(1, 8)),
            {"text_id": "nobody", "asks": 1, "got": 1}, {"text_id": "0-8", "asks": 7, "got": 1},
            {"text_id": "0-9", "scores": {"nosuch": 1}}, {"text_id": "1-2", "asks": 1},
            {"text_id": "0-1", "asks": 0.5, "got": 0.5},
        ],
    )  # fmt: skip
    done = imported(lake, file)
    assert done is not None
    assert done.counts["texts"] == 7
    reasons = {"score_unknown_text": 1, "score_out_of_range": 1, "score_unknown_label": 1, "score_incomplete": 1}
    assert {name: count for name, count in done.counts.items() if name.startswith("score_")} == reasons
    rejected = lake.rows(tables.REJECTED)
    assert {row["reason"] for row in rejected} == {*reasons}
    assert all(row["raw"] for row in rejected)
    add(lake, tables.TEXTS, text_row("nobody", "来了", dt=day(3)))
    assert imported(lake, file) is not None, "the text that it knew is there now"
    assert len(lake.rows(tables.REJECTED)) == 4
    assert digests.of_text("来了") in stored(lake)


def test_what_another_tool_took_away_is_imported_again_on_request(lake: Lake, tmp_path: Path) -> None:
    file = answers(tmp_path / "a.jsonl", [{"text_id": f"0-{at}", "asks": 1, "got": 0} for at in range(1, 4)])
    imported(lake, file)
    DeltaTable(lake.catalog.place(tables.TEACHER_SCORES) or "").delete("bucket >= 0")
    assert stored(lake) == {}
    assert imported(lake, file) is None
    assert imported(lake, file, again=True) is not None
    assert len(stored(lake)) == 3
    assert imported(lake, file, again=True) is None


def test_a_file_of_which_nothing_can_be_used_is_one_sentence(lake: Lake, tmp_path: Path) -> None:
    file = answers(tmp_path / "a.jsonl", [{"text_id": f"0-{at}", "asks": 3.5, "got": -2} for at in range(1, 5)])
    with pytest.raises(RefusedError, match=r"out_of_range 4 .*--scale logit"):
        imported(lake, file)
    assert lake.rows(tables.MODELS) == lake.rows(tables.TEACHER_SCORES) == []
    assert imported(lake, file, scale="logit") is not None
    answers(file, [{"text_id": f"0-{at}", "asks": 3.0, "got": -2} for at in range(1, 5)])
    with pytest.raises(RefusedError, match="scored_otherwise"):
        imported(lake, file, scale="logit")
    assert len(lake.rows(tables.TEACHER_SCORES)) == 4


def test_a_bad_file_is_left_out_and_the_others_are_in(lake: Lake, tmp_path: Path) -> None:
    answers(tmp_path / "good.jsonl", [{"text_id": "0-1", "asks": 1, "got": 0}])
    answers(tmp_path / "bad.jsonl", [{"text_id": "0-2", "asks": "?"}])
    with pytest.raises(RefusedError, match=r"bad\.jsonl.*all else is\."):
        imported(lake, tmp_path)
    assert len(stored(lake)) == 1


def test_a_text_that_a_bad_file_has_a_part_of_is_incomplete(lake: Lake, tmp_path: Path) -> None:
    both = [{"text_id": "0-1", "asks": 1}, {"text_id": "0-2", "asks": 1, "got": 1}]
    answers(tmp_path / "a.jsonl", both)
    answers(
        tmp_path / "b.jsonl", [{"text_id": "0-1", "got": 1}, *({"text_id": f"no{at}", "got": 1} for at in range(3))]
    )
    with pytest.raises(RefusedError, match=r"b\.jsonl: 3 of 4"):
        imported(lake, tmp_path)
    assert stored(lake) == {digests.of_text("老师02"): [1.0, 1.0]}
    reasons = sorted(row["reason"] for row in lake.rows(tables.REJECTED))
    assert reasons == ["score_incomplete", *["score_unknown_text"] * 3]


def test_labels_that_the_teacher_does_not_know_need_another_name(lake: Lake, tmp_path: Path) -> None:
    imported(lake, answers(tmp_path / "a.jsonl", [{"text_id": "0-1", "asks": 1}]))
    assert registry.newest_teacher(lake, "praise").labels == ("asks",)
    more = answers(tmp_path / "b.jsonl", [{"text_id": "0-2", "asks": 1, "got": 1}])
    with pytest.raises(DataError, match=r"gpt knows asks, got scores of got too.*another --name"):
        imported(lake, more)
    assert imported(lake, more, outside_scores={"labels": {"got": None}}) is not None
    with pytest.raises(SettingsError, match="asks, which the settings of praise do not declare"):
        imported(lake, more, tasks=tasks(labels={"got": {}}))


@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet"])
def test_cells_and_columns_are_read_as_well(suffix: str, lake: Lake, tmp_path: Path) -> None:
    rows = {"text_id": ["0-1", "0-2"], "label": ["asks|got", "got"]}
    file = tmp_path / f"a.{suffix}"
    if suffix == "parquet":
        pa.parquet.write_table(pa.table(rows), file)
    else:
        mark = {"csv": ",", "tsv": "\t"}[suffix]
        file.write_text("\n".join(mark.join(row) for row in zip(*([name, *rows[name]] for name in rows), strict=True)))
    assert imported(lake, file) is not None
    assert sorted(stored(lake).values()) == [[0.0, 1.0], [1.0, 1.0]]


def test_a_delta_table_is_read_at_its_version(lake: Lake, tmp_path: Path) -> None:
    place = str(tmp_path / "scores")
    rows = pa.table({"text_id": ["0-1", "0-2"], "scores": [{"asks": 0.5, "got": 0.25}] * 2, "more": [1, 2]})
    write_deltalake(place, rows)
    assert imported(lake, place) is not None
    assert list(stored(lake).values()) == [[0.5, 0.25]] * 2
    assert imported(lake, place) is None
    write_deltalake(place, rows.slice(0, 1).set_column(0, "text_id", pa.array(["0-3"])), mode="append")
    assert imported(lake, place) is not None
    assert len(stored(lake)) == 3
    with pytest.raises(DataError, match=r"no column id; .*outside_scores\.columns"):
        imported(lake, place, outside_scores={"columns": {"text_id": "id"}})


def test_classes_are_named_or_shared(lake: Lake, tmp_path: Path) -> None:
    mood = tasks(kind="multi_class", labels={"good": {}, "bad": {}, "none": {}})
    rows = [{"text_id": "0-1", "label": "bad"}, {"text_id": "0-2", "good": 0.5, "bad": 0.3, "none": 0.2}]
    assert imported(lake, answers(tmp_path / "a.jsonl", rows), tasks=mood) is not None
    teacher = registry.newest_teacher(lake, "praise")
    assert teacher.labels == ("good", "bad", "none")
    assert {round(row["value"], 3) for row in lake.rows(tables.THRESHOLDS)} == {0.167}
    only = answers(tmp_path / "b.jsonl", [{"text_id": "0-1", "good": 1}])
    with pytest.raises(DataError, match="only good is scored"):
        imported(lake, only, name="other", tasks=tasks(kind="multi_class", labels={"good": {}, "bad": {}}),
                 outside_scores={"labels": {"bad": None}})  # fmt: skip


def test_pairs_are_named_by_both_texts(lake: Lake, tmp_path: Path) -> None:
    pairs = tasks(kind="pair", labels={"same": {}})
    both = [
        text_row(
            f"p{number}", f"问{number}", text_b="答", text_hash=digests.of_text(f"问{number}", "答"), dt=day(number)
        )
        for number in range(4)
    ]
    add(lake, tables.TEXTS, *both)
    texts = asked(lake, tmp_path / "ask.jsonl", tasks=pairs)
    assert [sorted(row) for row in texts] == [["scene", "text", "text_b", "text_id"]] * 4
    file = answers(tmp_path / "a.jsonl", [{**row, "text_id": None, "same": True} for row in texts])
    assert imported(lake, file, tasks=pairs) is not None
    assert asked(lake, tmp_path / "ask.jsonl", tasks=pairs) == []


def test_an_import_that_was_killed_before_its_teacher_was_there_leaves_nothing_behind(
    lake: Lake, tmp_path: Path
) -> None:
    fill(lake, {tables.TEACHER_SCORES: [
        {"model_id": NAME, "text_hash": digests.of_text("老师01"), "bucket": 0, "logits": [9.0], "cls": [],
         "projection_version": ""}]})  # fmt: skip
    imported(lake, answers(tmp_path / "a.jsonl", [{"text_id": "0-2", "asks": 1, "got": 0}]))
    assert stored(lake) == {digests.of_text("老师02"): [1.0, 0.0]}
    assert imported(lake, answers(tmp_path / "b.jsonl", [])) is None, "a night without new texts"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"name": "a/b"}, "--name: .*without /"),
        ({"scale": "percent"}, "--scale: got 'percent'"),
        ({"name": ""}, "--name"),
    ],
)
def test_wrong_options_are_told(options: dict[str, Any], told: str, lake: Lake, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=told):
        imported(lake, answers(tmp_path / "a.jsonl", [{"text_id": "0-1", "asks": 1}]), **options)
    with pytest.raises(DataError, match="no file at"):
        imported(lake, tmp_path / "none.csv")


def test_of_scenes_without_texts_nothing_is_asked_for(lake: Lake, tmp_path: Path) -> None:
    assert asked(lake, tmp_path / "ask.jsonl", tasks=tasks(scenes=["nowhere"])) == []


def test_csv_for_people_is_safe_from_formulas(lake: Lake, tmp_path: Path) -> None:
    add(lake, tables.TEXTS, text_row("f", "=1+1", dt=DAY))
    options = {"file": tmp_path / "ask.csv", "rows": None, "teacher": None}
    do(ask.JOB, context_of(lake, "teacher ask", options=options, tasks=tasks(), rounds=ROUNDS))
    content = (tmp_path / "ask.csv").read_bytes()
    assert content.startswith(b"\xef\xbb\xbftext_id,text,scene\n")
    assert b"\nf,'=1+1,live_chat\n" in content
