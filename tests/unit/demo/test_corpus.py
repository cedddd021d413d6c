"""The demo corpus as a whole: what the folder holds, read again by other means than those that wrote it."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import unicodedata
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from jobs.demo.clusters import REQUIRES, TASK_LABELS, TASK_SCENES
from jobs.demo.composing import all_clusters
from jobs.demo.corpus_settings import CorpusSettings
from jobs.demo.demo_settings import DEMO_RULES
from jobs.demo.generator import generate
from models.errors import SettingsError

SETTINGS = CorpusSettings(texts=5000, days=14, processes=1)

Made = tuple[Path, dict[str, Any]]  # the folder and its manifest
Truth = dict[str, dict[str, Any]]  # by the source's id
Row = tuple[str, Any, str | None]  # id, text, what is broken
Recount = dict[str, list[Row]]  # by file


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("corpus")
    return folder, generate(SETTINGS, folder)


@pytest.fixture(scope="module")
def truth(made: Made) -> Truth:
    lines = (made[0] / "truth.jsonl").read_text(encoding="utf-8").splitlines()
    return {value["source_id"]: value for value in map(json.loads, lines)}


@pytest.fixture(scope="module")
def recount(made: Made) -> Recount:
    """By file: (id, text, what is broken) of every record, judged from the bytes alone."""
    texts = made[0] / "texts"
    rows = {
        "texts/live_chat.jsonl": [_chat(line) for line in (texts / "live_chat.jsonl").read_bytes().splitlines()],
        "texts/teacher_speech.csv": _speech((texts / "teacher_speech.csv").read_bytes()),
        "texts/homework_photo.parquet": [
            (row["page_id"], row["ocr_text"], None if row["ocr_text"] else "no_text")
            for row in pq.read_table(texts / "homework_photo.parquet").to_pylist()
        ],
    }
    return {name: _duplicates_marked(records) for name, records in rows.items()}


def _chat(line: bytes) -> Row:
    value = json.loads(line.decode("utf-8", "replace"))
    text, kind = value.get("content"), None
    if not _is_utf8(line):
        kind = "not_utf8"
    elif text is None or text == "":
        kind = "no_text"
    elif not isinstance(text, str) or not _is_time(value["sent_at"]):
        kind = "wrong_type"
    elif len(text) >= 1_000_000:
        kind = "too_long"
    return value["msg_id"], text, kind


def _speech(data: bytes) -> list[Row]:
    rows = list(csv.reader(io.StringIO(data.decode("utf-8", "surrogateescape"), newline=""), strict=True))
    assert rows[0] == ["utt_id", "transcript", "start_time"]
    assert {len(row) for row in rows} == {3}
    records: list[Row] = []
    for row_id, text, start in rows[1:]:
        bad = any("\ud800" <= char <= "\udfff" for char in text)
        kind = "not_utf8" if bad else "no_text" if not text else None if _is_time(start) else "wrong_type"
        records.append((row_id, text, kind))
    return records


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_time(value: str) -> bool:
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


def _duplicates_marked(records: list[Row]) -> list[Row]:
    seen: set[str] = set()
    marked = []
    for row_id, text, kind in records:
        if row_id in seen:
            assert kind is None, "a record must be broken in one way only"
            kind = "duplicate_id"
        seen.add(row_id)
        marked.append((row_id, text, kind))
    return marked


def _bytes_of(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_bytes_do_not_depend_on_the_number_of_processes(made: Made, tmp_path: Path) -> None:
    two = SETTINGS.model_copy(update={"processes": 2})
    generate(two, tmp_path / "two")
    assert _bytes_of(tmp_path / "two") == _bytes_of(made[0])


def test_another_seed_gives_other_texts(made: Made, tmp_path: Path) -> None:
    other = generate(SETTINGS.model_copy(update={"seed": 2}), tmp_path / "other")
    for name, file in made[1]["files"].items():
        assert other["files"][name]["sha256"] != file["sha256"]


def test_manifest_counts_what_the_files_hold(made: Made, recount: Recount, truth: Truth) -> None:
    manifest = made[1]
    assert json.loads((made[0] / "manifest.json").read_text(encoding="utf-8")) == manifest
    for name, records in recount.items():
        file = manifest["files"][name]
        broken = Counter(kind for _, _, kind in records if kind)
        assert file["read"] == len(records)
        assert file["broken"] == dict(sorted(broken.items()))
        assert file["valid"] == len(records) - broken.total()
        assert file["sha256"] == hashlib.sha256((made[0] / name).read_bytes()).hexdigest()
    valid = {row_id: text for records in recount.values() for row_id, text, kind in records if kind is None}
    assert valid.keys() == truth.keys()
    assert manifest["totals"]["read"] == SETTINGS.texts
    assert manifest["totals"]["distinct"] == len(set(valid.values()))
    assert sum(manifest["weekdays"].values()) == len(valid)


def test_manifest_counts_labels_and_clusters_as_the_truth_has_them(made: Made, truth: Truth) -> None:
    manifest = made[1]
    labels = Counter((task, label) for t in truth.values() for task, ls in t["labels"].items() for label in ls)
    clusters = Counter(name for t in truth.values() for name in t["clusters"])
    for task, counted in manifest["labels"].items():
        assert {label: value["texts"] for label, value in counted.items()} == {
            label: labels[task, label] for label in TASK_LABELS[task]
        }
    assert {name: value["texts"] for name, value in manifest["clusters"].items()} == {
        cluster.name: clusters[cluster.name] for cluster in all_clusters()
    }


def test_every_kind_of_broken_record_is_there(made: Made) -> None:
    assert made[1]["totals"]["broken"].keys() == {
        "not_utf8", "no_text", "duplicate_id", "wrong_type", "too_long",
    }  # fmt: skip
    assert made[1]["totals"]["broken"]["too_long"] == 1


def test_a_corpus_without_broken_records_has_none(tmp_path: Path) -> None:
    manifest = generate(CorpusSettings(texts=1500, days=3, processes=1, broken_share=0), tmp_path / "whole")
    assert manifest["totals"]["broken"] == {}
    assert manifest["totals"]["valid"] == 1500


def test_texts_repeat_and_vary(made: Made) -> None:
    assert 0.4 <= made[1]["distinct_share"] < 0.95
    assert 0.70 <= made[1]["unlabelled_share"] <= 0.85


def test_truth_obeys_the_dependencies(truth: Truth) -> None:
    for value in truth.values():
        labels = {label for ls in value["labels"].values() for label in ls}
        assert all(REQUIRES[label] in labels for label in labels & REQUIRES.keys())
        assert not labels >= {"asks_praise", "got_praise"}
        tasks = {"feedback"} if value["source"] == "ocr" else {"praise", "feedback"}
        assert value["labels"].keys() == tasks


def test_times_fall_on_the_days_of_the_corpus_in_order(made: Made) -> None:
    lines = (made[0] / "texts" / "live_chat.jsonl").read_text(encoding="utf-8", errors="replace").splitlines()
    stamps = [json.loads(line)["sent_at"] for line in lines]
    zone = datetime.fromisoformat("2026-01-01T00:00:00+08:00").tzinfo
    moments = [datetime.fromisoformat(stamp).astimezone(zone) for stamp in stamps if _is_time(stamp)]
    assert moments == sorted(moments)
    assert {moment.date() for moment in moments} == set(SETTINGS.all_days)
    assert {stamp[-6:] for stamp in stamps if _is_time(stamp)} == {"+08:00", "+00:00", "+09:00"}
    photos = pq.read_table(made[0] / "texts" / "homework_photo.parquet")["taken_at"].to_pylist()
    assert {(moment + timedelta(hours=8)).date() for moment in photos} == set(SETTINGS.all_days)


def _annotations(folder: Path) -> list[dict[str, str]]:
    rows = []
    for path in sorted((folder / "annotations").glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            rows += list(csv.DictReader(file))
    return rows


def test_annotations_count_err_and_miss_as_the_manifest_says(made: Made, truth: Truth, recount: Recount) -> None:
    rows = _annotations(made[0])
    counts = made[1]["annotations"]
    by_words: dict[tuple[str, str], dict[str, Any]] = {}
    for records in recount.values():
        for row_id, text, kind in records:
            if kind is None:
                by_words.setdefault((truth[row_id]["source"], text), truth[row_id])
    wrong = unmatched = 0
    for row in rows:
        known = truth.get(row["source_id"]) or by_words.get((row["source"], row["text"]))
        if known is None:
            unmatched += 1
            continue
        wrong += (row["label"] in known["labels"][row["task"]]) != (row["value"] == "1")
    assert len(rows) == counts["rows"]
    assert unmatched == counts["unmatched"] > 0
    assert wrong == counts["wrong"]
    assert 0.015 < wrong / len(rows) < 0.05
    assert sum(not row["source_id"] for row in rows) == counts["by_text"] > 0


def test_an_annotated_text_is_judged_for_every_label_of_its_task(made: Made) -> None:
    judged = Counter((r["task"], r["source"], r["source_id"], r["text"], r["annotator"]) for r in _annotations(made[0]))
    assert {(key[0], number) for key, number in judged.items()} == {
        (task, len(labels)) for task, labels in TASK_LABELS.items()
    }


def test_held_out_clusters_and_the_days_between_are_never_annotated(made: Made, truth: Truth, recount: Recount) -> None:
    held_out = {c.name for c in all_clusters() if c.held_out or c.settled}
    hidden_ids = {t["source_id"] for t in truth.values() if held_out & set(t["clusters"])}
    hidden = {text for records in recount.values() for row_id, text, _ in records if row_id in hidden_ids}
    days = {f"{day:%Y%m%d}" for day in (*SETTINGS.annotated_days, *SETTINGS.checked_days)}
    assert len(days) < SETTINGS.days
    rows = [row for row in _annotations(made[0]) if not row["source_id"].endswith("x")]
    assert hidden_ids
    for row in rows:
        assert row["source_id"] not in hidden_ids
        assert not row["text"] or row["text"] not in hidden
        assert not row["source_id"] or row["source_id"][1:9] in days


def test_a_few_texts_of_each_of_the_last_days_are_annotated_most_of_them_in_new_words(
    made: Made, recount: Recount
) -> None:
    words = {row_id: text for records in recount.values() for row_id, text, kind in records if kind is None}
    named = [row for row in _annotations(made[0]) if row["source_id"] and not row["source_id"].endswith("x")]
    for task in TASK_LABELS:
        by_day: dict[str, set[str]] = {}
        for row in named:
            if row["task"] == task:
                by_day.setdefault(row["source_id"][1:9], set()).add(words[row["source_id"]])
        first = set().union(*(by_day.get(f"{day:%Y%m%d}", set()) for day in SETTINGS.annotated_days))
        for day in SETTINGS.checked_days:
            texts = by_day[f"{day:%Y%m%d}"]
            assert 5 < len(texts) < len(first) / 4
            assert len(texts - first) > len(texts) / 2


def test_every_label_has_a_held_out_cluster_and_competitive_negatives() -> None:
    labels = {label for names in TASK_LABELS.values() for label in names}
    assert {label for c in all_clusters() if c.held_out for label in c.labels} == labels
    assert {label for c in all_clusters() for label in c.near} == labels
    assert not [c.name for c in all_clusters() if set(c.near) & set(c.labels)]
    assert len({c.name for c in all_clusters()}) == len(all_clusters())
    for label in labels:
        assert len([c for c in all_clusters() if label in c.labels]) >= 5


@pytest.mark.parametrize(
    ("words", "label"),
    [("表扬榜", "asks_praise"), ("声音", "cannot_hear"), ("退", "wants_refund"), ("作业", "asks_homework"),
     ("公平", "complains_unfair"), ("谢谢", "thanks_teacher")],
)  # fmt: skip
def test_no_keyword_decides_alone(truth: Truth, recount: Recount, words: str, label: str) -> None:
    texts = {row_id: text for records in recount.values() for row_id, text, kind in records if kind is None}
    holding = [truth[row_id]["labels"] for row_id, text in texts.items() if words in text]
    meant = sum(any(label in names for names in labels.values()) for labels in holding)
    assert 0 < meant < len(holding)
    everywhere = [i for i, t in truth.items() if any(label in names for names in t["labels"].values())]
    assert any(words not in texts[row_id] for row_id in everywhere)


def _cleaned(text: str) -> str:
    text = unicodedata.normalize("NFKC", text).lower()
    text = "".join(char for char in text if unicodedata.category(char) != "Cf")
    return re.sub(r"([^\w\s\[\]])\1+", r"\1", text).strip()


def test_rules_settle_symbol_texts_as_the_truth_has_them(truth: Truth, recount: Recount) -> None:
    texts = {row_id: text for records in recount.values() for row_id, text, kind in records if kind is None}
    symbols = {c.name for c in all_clusters() if c.settled}
    used = set()
    for row_id, value in truth.items():
        matching = [rule for rule in DEMO_RULES if re.fullmatch(rule["pattern"], _cleaned(texts[row_id]))]
        used |= {rule["name"] for rule in matching}
        assert matching or not symbols & set(value["clusters"])
        for rule in matching:
            for task, labels in value["labels"].items():
                if rule["task"] in ("*", task):
                    assert labels == ([rule["label"]] if rule["label"] else []), rule["name"]
    assert used == {rule["name"] for rule in DEMO_RULES}


def test_six_days_of_two_thousand_texts_hold_every_label(tmp_path: Path) -> None:
    manifest = generate(CorpusSettings(texts=2000, days=6, processes=1), tmp_path)
    for task, labels in manifest["labels"].items():
        for label, counted in labels.items():
            assert counted["texts"] > 0, f"{task}.{label}"
            assert manifest["annotations"]["positives"][label] > 0, f"{task}.{label}"
            assert set(counted["by_scene"]) == set(TASK_SCENES[task])


def test_one_text_on_one_day_is_a_corpus_too(tmp_path: Path) -> None:
    manifest = generate(CorpusSettings(texts=1, days=1, processes=1), tmp_path)
    assert manifest["totals"] == {"read": 1, "valid": 1, "broken": {}, "distinct": 1}


def test_an_earlier_corpus_is_replaced_and_anything_else_refused(tmp_path: Path) -> None:
    small = CorpusSettings(texts=300, days=2, processes=1)
    generate(small.model_copy(update={"seed": 9}), tmp_path)
    seen: list[tuple[int, int]] = []
    again = generate(small, tmp_path, lambda done, total: seen.append((done, total)))
    assert seen[-1] == (300, 300)
    assert seen == sorted(seen)
    assert again["seed"] == json.loads((tmp_path / "manifest.json").read_text(encoding="utf-8"))["seed"] == 1
    (tmp_path / "thesis.doc").write_text("mine")
    with pytest.raises(SettingsError, match=r"thesis\.doc"):
        generate(small, tmp_path)
