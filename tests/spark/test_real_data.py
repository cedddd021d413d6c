"""Real class audio and exam questions by the settings that docs/real-data.md names; skipped where DATA is unset."""

from __future__ import annotations

import gzip
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from pyspark.sql import functions as F

from benchmarks import exam
from jobs.ingestion import clean, import_annotations, ingest
from jobs.lake import tables
from jobs.lake.store import Lake
from jobs.settings import Settings
from jobs.settings_file import load
from tests.support import context_of, do, rows_of

pytestmark = [
    pytest.mark.spark,
    pytest.mark.skipif(not os.environ.get("DATA"), reason="DATA= names no folder of real data"),
]

USED = (tables.RAW_TEXTS, tables.REJECTED, tables.LOADS, tables.TEXTS, tables.ANNOTATIONS)


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings as they are kept; the teacher's base is not opened here."""
    monkeypatch.setenv("MODELS", os.environ.get("MODELS", "unused"))
    return load(Path("conf/dialogid.yaml"))


def test_every_utterance_of_the_class_audio_is_a_text_with_one_teaching_act(
    lake: Callable[..., Lake], settings: Settings
) -> None:
    place = Path(os.environ["DATA"]) / "dialogid_k12_asr"
    lines, acts = {}, Counter[str]()
    for part in ("train", "dev"):
        with gzip.open(place / f"{part}.tsv.gz", "rt", encoding="utf-8", newline="\n") as file:
            head, *rows = (line.rstrip("\r\n").split("\t") for line in file)
        lines[part] = len(rows)
        acts.update(row[head.index("label_name")].replace("-", "_") for row in rows)
    own = lake(*USED)
    given = settings.model_dump(mode="json", by_alias=True, include={"sources", "annotations", "tasks"})
    context = context_of(own, options={"file": str(place / "*.tsv.gz")}, **given)
    loaded = do(ingest.JOB, context)
    assert loaded is not None
    assert loaded.counts == {"read": sum(lines.values()), "raw": sum(lines.values()), "rejected": 0, "repeated": 0}
    do(clean.JOB, context)
    imported = do(import_annotations.JOB, context)
    assert imported is not None
    assert imported.counts["set_aside"] == 0
    days = rows_of(own.read(tables.TEXTS).groupBy("dt").count().select("count"))
    assert days == sorted(((count,) for count in lines.values()), key=str)
    # The same utterance may occur twice; its annotations then find the earliest, and all of them by its hash.
    told = own.read(tables.ANNOTATIONS).where("value").groupBy("label").agg(F.countDistinct("text_id").alias("n"))
    found = {row["label"]: row["n"] for row in told.collect()}
    assert found.keys() == acts.keys() == set(settings.tasks["teaching_act"].labels)
    assert all(found[act] <= count for act, count in acts.items())
    told_hashes = own.read(tables.ANNOTATIONS).select("text_hash")
    assert own.read(tables.TEXTS).join(told_hashes, "text_hash", "left_anti").isEmpty()


def test_exam_questions_become_a_task_of_106_labels_over_four_scenes(tmp_path: Path) -> None:
    given, annotations = exam.prepare(Path(os.environ["DATA"]), tmp_path)
    made = Settings.model_validate(given)
    task = made.tasks[exam.TASK]
    assert (len(task.labels), len(task.scenes), len(made.sources)) == (106, 4, 12)
    questions = sum(Path(source.path).read_text("utf-8").count("\n") for source in made.sources.values())
    assert questions == 15_183
    assert annotations.read_text("utf-8").count("\n") == questions * 106
