"""Pupils' words stay in the tables: no line that is printed and no error holds one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobs.ingestion import clean, import_annotations, ingest
from jobs.lake import tables
from jobs.lake.store import Lake
from jobs.runtime.context import Context
from jobs.runtime.job import run
from models.errors import DataError, RefusedError
from tests.support import context_of, do

pytestmark = pytest.mark.spark

CANARY = "电话13812345678金丝雀"
PIECES = ("13812345678", "金丝雀", r"\u91d1\u4e1d\u96c0")
SOURCE = {"text": "content", "source_id": "id", "event_time": "at", "scene": "scene"}
TASKS: dict[str, Any] = {"praise": {"scenes": ["live_chat"], "labels": {"asks": {}}}}


def line(own: Any, content: Any, at: Any = "2026-03-02T08:00:00") -> bytes:
    return json.dumps({"id": own, "content": content, "at": at, "scene": "live_chat"}, ensure_ascii=False).encode()


BAD = [
    line("1", CANARY + "again"),
    line("2", CANARY, CANARY),
    line("3", [CANARY]),
    line("4", CANARY * 40),
    line("5", CANARY)[:-9],
    line("6", CANARY).replace("金".encode(), b"\xe9\x87"),
    line("7", CANARY).replace("金".encode(), b"\\ud83d"),
    json.dumps(CANARY, ensure_ascii=False).encode(),
]


def context_for(lake: Lake, job: str, folder: Path, share: float = 1.0, **options: str) -> Context:
    source = {"path": str(folder), "format": "jsonl", "columns": SOURCE, "constants": {"source": "chat"}}
    limits = {"max_rejected_share": share, "max_text_chars": 100}
    return context_of(lake, job, sources={"chat": source}, ingest=limits, tasks=TASKS, options=options)


def assert_nothing_leaked(captured: pytest.CaptureFixture[str], *told: object) -> None:
    out, err = captured.readouterr()
    everything = "\n".join([out, err, *[str(one) for one in told]])
    assert [piece for piece in PIECES if piece in everything] == []


def test_no_text_leaves_the_tables_for_a_screen_an_error_a_run_or_a_log(
    lake: Callable[..., Lake], tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PINGTI_VERBOSE", "1")
    own = lake(tables.RAW_TEXTS, tables.REJECTED, tables.LOADS, tables.TEXTS, tables.ANNOTATIONS, tables.RUNS)
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.jsonl").write_bytes(b"\n".join([line("1", CANARY), *BAD]))

    with pytest.raises(DataError, match="8 of 9 records are rejected") as caught:
        run(ingest.JOB, context_for(own, "ingest", folder, share=0.5))
    assert caught.value.__cause__ is None
    assert_nothing_leaked(capfd, caught.value)

    done = do(ingest.JOB, context_for(own, "ingest", folder))
    assert done is not None
    assert done.counts == {"read": 9, "raw": 1, "rejected": 8, "repeated": 0}
    assert do(clean.JOB, context_for(own, "clean", folder)) is not None
    file = tmp_path / "annotations.jsonl"
    records = [
        {"task": "praise", "label": "asks", "value": 1, "annotator": "li", "source": "chat", "text": CANARY + "?"},
        {"task": "praise", "label": CANARY, "value": 1, "annotator": "li", "source": "chat", "text": CANARY},
        {"task": "praise", "label": "asks", "value": CANARY, "annotator": "li", "source": "chat", "text": CANARY},
    ]
    file.write_text("\n".join(json.dumps(record, ensure_ascii=False) for record in records), "utf-8")
    with pytest.raises(RefusedError, match="3 of 3 records set aside") as refused:  # nothing of it can be used
        run(import_annotations.JOB, context_for(own, "annotate import", folder, file=str(file)))
    printed = capfd.readouterr()
    assert "annotations set aside" in printed.err
    rejected = own.read(tables.REJECTED).collect()
    runs = own.read(tables.RUNS).collect()
    assert sum("13812345678" in bytes(row["raw"]).decode("utf-8", "replace") for row in rejected) == 11
    told = [row["detail"] for row in rejected] + [row.asDict() for row in runs]
    assert_nothing_leaked(capfd, printed, str(refused.value), *told)

    assert own.catalog.root is not None
    logs = [file.read_text("utf-8") for file in Path(own.catalog.root).glob("*/_delta_log/*.json")]
    assert any("minValues" in log for log in logs)
    assert_nothing_leaked(capfd, *logs)
