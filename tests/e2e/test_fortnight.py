"""Fourteen nights in one warehouse: each makes the days that have news and no other, whatever happens; and at the end
the tables are those of a warehouse that got everything at once."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from deltalake import DeltaTable
from transformers import BertConfig, BertForSequenceClassification

from jobs.ingestion import import_annotations
from jobs.labels import rollback
from jobs.lake import promotions, registry, tables
from jobs.lake.registry import CONTENT, RegisteredModel
from jobs.lake.tables import Table
from jobs.operations import nightly, status
from jobs.runtime.context import Context, Request, make_context, quiet_reporter
from jobs.runtime.job import run
from jobs.settings import Settings
from jobs.teachers import train_teacher
from models.export.exporter import export_student
from models.serving.bundle import open_bundle
from models.student_settings import TextCNNSettings
from models.students.architectures import build_student
from models.teachers.pretraining import build_tokenizer
from models.teachers.teacher import Teacher
from models.text.vocabulary import Vocabulary
from tests.e2e.running import QUICK_START
from tests.support import STAMP, round_row, threshold_row

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]

FIRST, LABELS = date(2026, 3, 1), ("asks", "got")
WORDS = ("老师", "好", "夸我", "听不见", "作业", "谢谢", "哈", "声音", "再讲", "一遍")
MADE = (tables.TEXTS, tables.STUDENT_SCORES, tables.LABELS)
ALL = frozenset(range(14))
TEACHER = "praise/teacher/1"
SMALL_TEACHER = {
    "layers": 1, "hidden": 16, "heads": 2, "max_tokens": 16, "vocabulary_size": 60, "pretrain_steps": 2, "epochs": 1,
    "projection": 4,
}  # fmt: skip
# The commits of a teacher that is trained on its own: of what it begins as, and of itself.
FOR_A_TEACHER = tuple(
    f"train-teacher:{table}:{place}_commit"
    for table in ("round_samples", "thresholds", "models")
    for place in ("before", "after")
)
# The commits that a night makes for a new student; one that is drawn anew each time is where it dies.
FOR_A_STUDENT = tuple(
    f"{job}:{place}_commit"
    for job in ("score-teacher:teacher_scores", "thresholds:thresholds", "promote:evaluations", "promote:promotions")
    for place in ("before", "after")
)
SEED = os.environ.get("PINGTI_TEST_SEED", str(random.SystemRandom().randrange(10**6)))


def day(number: int) -> date:
    return FIRST + timedelta(days=number)


def one_of(*places: str) -> str:
    """A place by `PINGTI_TEST_SEED`, or by chance."""
    return random.Random(f"{SEED} {places[0]}").choice(places)


def around(commit: str) -> str:
    """Before a commit, or after it."""
    return one_of(f"{commit}:before_commit", f"{commit}:after_commit")


def records(number: int, name: str, count: int = 12) -> list[dict[str, str]]:
    """What came of a day; the same for a name, whenever it comes."""
    drawn = random.Random(f"{number} {name}")
    return [
        {
            "id": f"{name}-{number}-{at}", "time": f"{day(number)}T12:{at:02}:00+08:00",
            "text": "".join(drawn.choices(WORDS, k=drawn.randint(1, 5))),
        }
        for at in range(count)
    ]  # fmt: skip


@dataclass
class House:
    """A warehouse, its landing folder, and its nights."""

    folder: Path
    spark: SparkSession
    name: str
    changes: dict[str, Any] = field(default_factory=dict)

    @property
    def settings(self) -> dict[str, Any]:
        """As they are tonight."""
        target = {"precision": self.changes.get("target", 0), "recall": self.changes.get("target", 0)}
        labels = {name: {"target": target} for name in (*LABELS, *self.changes.get("labels", ()))}
        return {
            "lake": {
                "location": str(self.folder / "warehouse"), "bundles": str(self.folder / "bundles"),
                "schema_name": self.name,
            },
            "session": {"master": "local[2,4]", "driver_memory": "2g", "shuffle_partitions": 2},
            "sources": {
                "chat": {
                    "path": str(self.folder / "landing"), "format": "jsonl",
                    "columns": {"source_id": "id", "text": "text", "event_time": "time"},
                    "constants": {"scene": "live_chat", "source": "chat"},
                }
            },
            "ingest": {"max_rejected_share": 0.5},
            "tasks": {"praise": {"scenes": ["live_chat"], "labels": labels, "teacher": SMALL_TEACHER}},
            "rounds": {"threshold_days": 1, "test_days": 1, "gate_days": 1, "min_train_days": 1},
            "gate": {"rare": "accept", "margin": 1, "min_positives": self.changes.get("min_positives", 20)},
            "thresholds": {"hysteresis": 1},
            "teacher_scoring": {"train_texts": 50, "threshold_texts": 50, "test_texts": 50, "gate_texts": 50},
        }  # fmt: skip

    def context(self, job: str, **options: Any) -> Context:
        settings = Settings.model_validate(self.settings)
        return make_context(job, settings, lambda: self.spark, Request(options=options), quiet_reporter())

    def deliver(self, file: str, rows: list[dict[str, str]]) -> None:
        """Append records to a file of the landing folder."""
        (self.folder / "landing").mkdir(parents=True, exist_ok=True)
        with (self.folder / "landing" / file).open("a", encoding="utf-8") as target:
            target.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)

    def night(self, stop_at: str | None = None) -> dict[str, frozenset[int]]:
        """Run the night, killed at a place before if one is named; which days its commits wrote of each table."""
        lake = self.context("look").lake
        before = {table: lake.log.version(table) for table in MADE}
        if stop_at is not None:
            self.killed(stop_at, "nightly")
        nightly.run(self.context("nightly"))
        return {table.name: self._written(table, before[table]) for table in MADE}

    def killed(self, stop_at: str, *command: str) -> None:
        """Run a command in a process of its own that dies at a place."""
        file = self.folder / "settings.yaml"
        file.write_text(json.dumps(self.settings), "utf-8")
        environment = os.environ | {
            "PINGTI_STOP_AT": stop_at, "PYTHONPATH": str(Path(__file__).parents[2]), "SPARK_SUBMIT_OPTS": QUICK_START
        }  # fmt: skip
        ended = subprocess.run(
            [sys.executable, "-m", "jobs.cli", *command, "--settings", str(file)],
            cwd=self.folder, env=environment, capture_output=True, text=True, check=False, timeout=600,
        )  # fmt: skip
        assert ended.returncode == -9, f"{stop_at}: {ended.returncode}\n{ended.stderr[-2000:]}"

    def by_hand(self, table: Table) -> DeltaTable:
        """A table as another tool opens it."""
        return DeltaTable(self.folder / "warehouse" / table.name)

    def clean_logs(self) -> None:
        """What Delta does after a month."""
        for table in tables.ALL:
            self.by_hand(table).create_checkpoint()
            for file in sorted((self.folder / "warehouse" / table.name / "_delta_log").glob("*.json"))[:-1]:
                file.unlink()

    def _written(self, table: Table, before: int) -> frozenset[int]:
        lake, days = self.context("look").lake, set[int]()
        for version in range(before + 1, lake.log.version(table) + 1):
            for action in lake.catalog.arrow.actions(table, version) or []:
                days.add((date.fromisoformat(action.partition["dt"] or "") - FIRST).days)
        return frozenset(days)

    # --- models -------------------------------------------------------------------------------------------------

    def enter_teacher(self) -> None:
        """A small teacher with random weights."""
        torch.manual_seed(1)
        lake, tokenizer = self.context("seed").lake, build_tokenizer(list(WORDS), 60)
        sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
        model = BertForSequenceClassification(BertConfig(vocab_size=len(tokenizer), num_labels=2, **sizes))
        model.config.pingti_max_tokens = 16
        teacher = Teacher(LABELS, 16, model.eval(), tokenizer)
        path = lake.bundles.published(teacher.save(lake.bundles.folder / "teachers" / "one"))
        self._register(RegisteredModel(
            TEACHER, "praise", "bert", "teacher", LABELS, None, None, path, self._clean_version(),
            {CONTENT: Teacher.open(Path(path)).digest},
        ))  # fmt: skip

    def enter_student(self, number: int) -> str:
        """A student with random weights, and the round that it is of."""
        torch.manual_seed(number)
        lake, model_id = self.context("seed").lake, f"praise/textcnn/{number}"
        sizes = TextCNNSettings(embedding=8, filters=8, widths=(1, 2), max_length=16)
        vocabulary = Vocabulary(tuple(sorted({sign for word in WORDS for sign in word})))
        bundle = export_student(
            build_student(sizes, len(vocabulary), 2), folder=lake.bundles.folder / "students" / str(number),
            task="praise", kind="textcnn", labels=LABELS, vocabulary=vocabulary, max_length=16,
            clean_version=self._clean_version(), model_id=model_id,
        )  # fmt: skip
        self._register(RegisteredModel(
            model_id, "praise", "textcnn", "student", LABELS, TEACHER, f"praise/textcnn/{number:02}",
            lake.bundles.published(bundle), self._clean_version(), open_bundle(bundle).manifest.files,
        ))  # fmt: skip
        lake.append_rows(tables.ROUNDS, [round_row(model_id, f"praise/textcnn/{number:02}", teacher_id=TEACHER)], STAMP)
        return model_id

    def _register(self, model: RegisteredModel) -> None:
        lake = self.context("seed").lake
        rows = [threshold_row(model.model_id, label, 0.5) for label in LABELS]
        lake.append_rows(tables.THRESHOLDS, rows, STAMP)
        registry.register(lake, model, settings="{}", stamp=STAMP)

    def _clean_version(self) -> str:
        return Settings.model_validate(self.settings).cleaning.version

    def in_force(self) -> str:
        return registry.live(self.context("look").lake)["praise"].model_id

    def rows(self, table: Table, **of: str) -> list[tuple[Any, ...]]:
        found = self.context("look").lake.rows(table)
        kept = [row for row in found if all(row[name] == value for name, value in of.items())]
        names = [name for name in table.names if name not in ("run_id",)]
        return sorted(tuple(str(row[name]) for name in names) for row in kept)


@pytest.fixture
def houses(spark: SparkSession, tmp_path: Path) -> Iterator[Callable[[str], House]]:
    made = []

    def make(name: str) -> House:
        house = House(tmp_path / name, spark, name)
        house.context("init").lake.catalog.make()
        made.append(name)
        return house

    yield make
    for name in made:
        spark.sql(f"DROP SCHEMA IF EXISTS {name} CASCADE")


def wrote(texts: set[int] | frozenset[int], scores: Any = (), labels: Any = ()) -> Mapping[str, frozenset[int]]:
    return {"texts": frozenset(texts), "student_scores": frozenset(scores), "labels": frozenset(labels)}


def before(number: int) -> set[int]:
    """All days up to one."""
    return set(range(number + 1))


def test_fourteen_nights_make_what_came_and_end_as_if_it_had_come_at_once(houses: Callable[[str], House]) -> None:
    house = houses("fortnight")
    by = f"PINGTI_TEST_SEED={SEED}"

    def arrives(number: int) -> None:
        house.deliver(f"{day(number)}.jsonl", records(number, "chat"))

    # The first week: files alone.
    arrives(0)
    assert house.night() == wrote({0})
    arrives(1)
    assert house.night(around("clean:texts")) == wrote({1}), by
    arrives(2)
    house.deliver(f"{day(2)}.jsonl", records(0, "late", 3))
    assert house.night() == wrote({2, 0})
    arrives(3)
    house.deliver(f"{day(2)}.jsonl", records(1, "grown", 3))
    assert house.night() == wrote({3, 1})
    arrives(4)
    house.deliver("again.jsonl", records(1, "chat"))
    assert house.night() == wrote({4})

    # A student: it passes the gate, and scores and labels of the whole history are made once.
    arrives(5)
    house.deliver(f"{day(5)}.jsonl", [records(0, "2031", 1)[0] | {"time": "2031-01-01T00:00:00+08:00"}])
    house.enter_teacher()
    first = house.enter_student(1)
    assert house.night(one_of(*FOR_A_STUDENT)) == wrote({5}, before(5), before(5)), by
    assert house.in_force() == first
    (aside,) = house.context("look").lake.rows(tables.REJECTED, "reason")
    assert aside["reason"] == "event_time_out_of_range"
    arrives(6)
    assert house.night(around("score:student_scores")) == wrote({6}, {6}, {6}), by

    # The second week: people.
    arrives(7)
    answers = house.folder / "answers.jsonl"
    ids = sorted(row["text_id"] for row in house.context("look").lake.rows(tables.TEXTS) if row["dt"] <= day(3))[:6]
    answers.write_text("".join(
        json.dumps({"task": "praise", "label": "asks", "text_id": one, "annotator": "a", "value": at % 2 == 0}) + "\n"
        for at, one in enumerate(ids)
    ), "utf-8")  # fmt: skip
    house.killed(around("annotate import:annotations"), "annotate", "import", "--file", str(answers))
    run(import_annotations.JOB, house.context("annotate import", file=str(answers)))
    assert len(house.rows(tables.ANNOTATIONS)) == len(ids), by
    house.killed(one_of(*FOR_A_TEACHER), "train-teacher")
    run(train_teacher.JOB, house.context("train-teacher"))
    kinds = [row["role"] for row in house.context("look").lake.rows(tables.MODELS, "role")]
    assert sorted(kinds) == ["base", "student", "teacher", "teacher"], by
    assert train_teacher.plan(house.context("train-teacher")).payload == (), by
    assert house.night() == wrote({7}, {7}, {7}), "answers change no text, score or label"
    house.changes["labels"] = ("thanks",)
    arrives(8)
    assert house.night() == wrote({8}, {8}, before(8)), "a label of a later phase decides the task anew"

    # A student that the gate refuses, then lets in; and back.
    house.changes |= {"target": 0.999, "min_positives": 1}
    second = house.enter_student(2)
    arrives(9)
    assert house.night(around("label:labels")) == wrote({9}, before(9), {9}), by
    assert house.in_force() == first
    house.changes |= {"target": 0, "min_positives": 20}
    arrives(10)
    assert house.night() == wrote({10}, {10}, before(10))
    assert house.in_force() == second
    house.killed("rollback:promotions:after_commit", "rollback")
    run(rollback.JOB, house.context("rollback"))
    arrives(11)
    assert house.night() == wrote({11}, {11}, before(11))
    assert house.in_force() == first, "a rollback that is run again goes no further back, and it sticks"

    # Other tools, and time.
    arrives(12)
    (lost,) = house.context("look").lake.rows(tables.TEXTS, where=None)[:1]
    victim = (lost["dt"] - FIRST).days
    house.by_hand(tables.TEXTS).delete(f"text_id = '{lost['text_id']}'")
    there = sorted({row["dt"] for row in house.context("look").lake.rows(tables.LABELS)} - {lost["dt"]})[0]
    house.by_hand(tables.LABELS).delete(f"dt = '{there}'")
    written = house.night()
    assert written == wrote({12, victim}, {12, victim}, {12, victim, (there - FIRST).days})
    arrives(13)
    version = house.by_hand(tables.TEXTS).version()
    house.by_hand(tables.TEXTS).delete(f"dt = '{day(3)}'")
    house.by_hand(tables.TEXTS).restore(version)
    house.clean_logs()
    assert house.night() == wrote({13}, {13}, {13})
    assert house.night() == wrote(set())
    assert status.late_days(house.context("status")) == []

    # Everything at once.
    once = houses("at_once")
    for file in sorted((house.folder / "landing").iterdir()):
        once.deliver(file.name, [json.loads(line) for line in file.read_text("utf-8").splitlines()])
    once.changes = house.changes
    once.enter_teacher()
    once.enter_student(1)
    assert once.night() == wrote(ALL, ALL, ALL)
    assert once.rows(tables.TEXTS) == house.rows(tables.TEXTS)
    assert once.rows(tables.STUDENT_SCORES) == house.rows(tables.STUDENT_SCORES, model_id=first)
    assert once.rows(tables.LABELS) == house.rows(tables.LABELS)
    assert len(once.rows(tables.TEXTS)) == 14 * 12 + 6
    nights = house.context("look").lake.rows(tables.RUNS, "job", "outcome")
    assert [row["outcome"] for row in nights if row["job"] == "nightly"] == ["done"] * 15
    assert promotions.histories(house.context("look").lake)["praise"][-1].action == "rollback"
