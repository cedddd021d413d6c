"""`pingti check` tells in seconds, without a session, what a run would meet; texts are masked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from jobs import cli
from jobs.operations.check import check, masked
from jobs.settings_file import load
from models.errors import DataError, EnvError, SettingsError

COLUMNS = {"source_id": "id", "text": "text", "event_time": "at"}
TASKS = {"praise": {"scenes": ["chat"], "labels": {"asks": {}, "got": {}}}}


def settings(folder: Path, kind: str = "jsonl", **source: Any) -> dict[str, Any]:
    given = {
        "path": str(folder / "in"),
        "format": kind,
        "columns": COLUMNS,
        "constants": {"source": "app", "scene": "chat"},
    }
    return {"lake": {"location": str(folder / "lake")}, "sources": {"app": given | source}, "tasks": TASKS}


def put(folder: Path, *lines: str, name: str = "a.jsonl") -> None:
    (folder / "in").mkdir(exist_ok=True)
    (folder / "in" / name).write_text("\n".join(lines), "utf-8")


def line(text: str, at: str = "2026-03-01 08:00:00") -> str:
    return json.dumps({"id": "1", "text": text, "at": at}, ensure_ascii=False)


def test_good_files_are_shown_as_they_would_be_read_with_texts_masked(tmp_path: Path) -> None:
    put(tmp_path, line("老师我想回家"), line("好", "2026/3/1 下午 3:06"))
    found = check(load(None, settings(tmp_path)))
    assert found.problems == []
    told = "\n".join(found.lines)
    assert "1 sources, 1 tasks, 2 labels" in told
    assert "a.jsonl, 2 records" in told
    assert "event_time 2026-03-01 15:06:00" in told
    assert "老师… (6 characters)" in told
    assert "我想回家" not in told
    assert not (tmp_path / "lake").exists()


def test_what_would_be_refused_and_rejected_is_told_by_reason(tmp_path: Path) -> None:
    put(tmp_path, line("好"), line("坏", "yesterday"), "{", line(""))
    found = check(load(None, settings(tmp_path)))
    assert [type(one) for one in found.problems] == [DataError]
    told = "\n".join(found.lines)
    assert "1 of the first 4 records would be rejected: wrong_type (event_time is not a time)" in told
    assert "3 of the first 4 records would be rejected, over ingest.max_rejected_share 0.02" in told
    put(tmp_path, "id\ttext\tat", '1\t"好\t20260301', '2\t坏"\t20260301', name="b.tsv")
    ambiguous = check(load(None, settings(tmp_path, "tsv", path=str(tmp_path / "in" / "*.tsv"))))
    assert "file_ambiguous" in str(ambiguous.problems[0])


def test_a_source_without_files_and_a_scene_of_no_task_are_told(tmp_path: Path) -> None:
    assert "no file at" in str(check(load(None, settings(tmp_path))).problems[0])
    assert check(load(None, settings(tmp_path, optional=True))).problems == []
    put(tmp_path, line("好"))
    other = settings(tmp_path, constants={"source": "app", "scene": "hall"})
    assert "scenes that no task names: hall (1)" in "\n".join(check(load(None, other)).lines)


def test_the_command_ends_with_the_first_problems_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(yaml.safe_dump(settings(tmp_path)), "utf-8")
    ended = CliRunner().invoke(cli.app, ["check", "--settings", str(file)])
    assert isinstance(ended.exception, DataError)
    assert "✗ sources.app: no file at" in ended.output
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    ended = CliRunner().invoke(cli.app, ["check", "--settings", str(file)])
    assert isinstance(ended.exception, EnvError)


def test_a_base_that_is_no_whole_model_is_told(tmp_path: Path) -> None:
    put(tmp_path, line("好"))
    base = tmp_path / "base"
    base.mkdir()
    (base / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n")
    tasks = {"praise": TASKS["praise"] | {"teacher": {"from": str(base)}}}
    found = check(load(None, settings(tmp_path) | {"tasks": tasks}))
    assert [type(problem) for problem in found.problems] == [SettingsError]
    assert "Git LFS pointer" in str(found.problems[0])
    tasks = {"praise": TASKS["praise"] | {"teacher": {"from": "hfl/rbt3@main"}}}
    found = check(load(None, settings(tmp_path) | {"tasks": tasks}))
    assert found.problems == []
    assert "hfl/rbt3@main, no folder of this machine" in "\n".join(found.lines)


def test_a_short_text_is_masked_as_far_as_it_goes_and_steers_no_terminal() -> None:
    assert masked("好") == "好… (1 characters)"
    assert masked("\x1b[31m红") == "\\u001b[… (6 characters)"
    assert masked("\u2028好") == "\\u2028好… (2 characters)"


def test_texts_in_gbk_are_told_with_the_encoding_that_reads_them(tmp_path: Path) -> None:
    put(tmp_path)
    (tmp_path / "in" / "a.jsonl").write_bytes(line("老师好").encode("gbk") + b"\n")
    found = check(load(None, settings(tmp_path)))
    assert any("encoding: gb18030" in told for told in found.lines)
    assert found.problems


def test_files_of_annotations_are_told_by_label(tmp_path: Path) -> None:
    put(tmp_path, line("好"))
    file = tmp_path / "labels.csv"
    given = settings(tmp_path) | {"annotations": {"constants": {"task": "praise", "source": "app"}}}
    file.write_text("text,label,value,annotator\n好,asks,1,a\n好,got,0,a\n好,asks,1,b\n好,none,1,b\n", "utf-8")
    found = check(load(None, given), str(file))
    assert found.problems == []
    told = "\n".join(found.lines)
    assert "labels.csv: 4 records; would be set aside: 1 unknown_label" in told
    assert "praise.asks: 2 yes, 0 no" in told
    assert "praise.got: 0 yes, 1 no" in told
    file.write_text("text,label,value,annotator\n好,none,1,a\n", "utf-8")
    assert "nothing of its first 1 rows can be used" in str(check(load(None, given), str(file)).problems[0])
    assert "no file at" in str(check(load(None, given), str(tmp_path / "none.csv")).problems[0])
