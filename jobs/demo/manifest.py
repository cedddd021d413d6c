"""The manifest of a corpus: every figure one may want to quote or to check a pipeline against."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jobs.demo.chunks import Tally
from jobs.demo.clusters import SCENES, SOURCES, TASK_LABELS, TASK_SCENES
from jobs.demo.composing import all_families
from jobs.demo.corpus_settings import CorpusSettings
from jobs.demo.source_records import COLUMNS, FILES
from models import digests

FORMAT = 1
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def build_manifest(
    settings: CorpusSettings,
    folder: Path,
    tallies: dict[str, Tally],
    distinct: int,
    annotated: dict[str, Any],
) -> dict[str, Any]:
    """The manifest of a corpus whose files are written.

    `read` counts records written, broken ones included; shares are of valid texts, a label's of the valid
    texts of its task's scenes. Nothing depends on the number of processes or on the clock.

    Args:
        settings: What the corpus was made with.
        folder: Where it lies; its files are hashed here.
        tallies: Counts by scene.
        distinct: How many different valid texts there are.
        annotated: Counts of the annotators' files.
    """
    whole = Tally()
    for tally in tallies.values():
        whole.add(tally)
    return {
        "format": FORMAT,
        "seed": settings.seed,
        "settings": settings.model_dump(mode="json", exclude={"processes"}),
        "days": {"first": str(settings.all_days[0]), "last": str(settings.last_day), "count": settings.days},
        "files": {FILES[scene]: _text_file(scene, folder, tallies[scene]) for scene in SCENES},
        "other_files": {
            str(path.relative_to(folder)): _file(path)
            for path in (folder / "truth.jsonl", *sorted((folder / "annotations").glob("ann*.csv")))
        },
        "totals": {**_counts(whole), "distinct": distinct},
        "distinct_share": _share(distinct, whole.valid),
        "unlabelled_share": _share(whole.unlabelled, whole.valid),
        "weekdays": {name: whole.weekdays[number] for number, name in enumerate(WEEKDAYS)},
        "labels": {task: _labels(task, tallies) for task in TASK_LABELS},
        "clusters": _clusters(whole),
        "annotations": annotated,
    }


def _share(part: int, whole: int) -> float:
    return round(part / whole, 5) if whole else 0.0


def _counts(tally: Tally) -> dict[str, Any]:
    return {
        "read": tally.read,
        "valid": tally.valid,
        "broken": dict(sorted(tally.broken.items())),
    }


def _file(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": digests.of_file(path)}


def _text_file(scene: str, folder: Path, tally: Tally) -> dict[str, Any]:
    about = {"source": SOURCES[scene], "scene": scene, "columns": COLUMNS[scene]}
    return {**about, **_counts(tally), **_file(folder / FILES[scene])}


def _labels(task: str, tallies: dict[str, Tally]) -> dict[str, Any]:
    scenes = TASK_SCENES[task]
    valid = sum(tallies[scene].valid for scene in scenes)
    labels = {}
    for label in TASK_LABELS[task]:
        by_scene = {scene: tallies[scene].labels[label] for scene in scenes}
        texts = sum(by_scene.values())
        labels[label] = {"texts": texts, "share": _share(texts, valid), "by_scene": by_scene}
    return labels


def _clusters(whole: Tally) -> dict[str, Any]:
    return {
        cluster.name: {
            "family": family.name,
            "labels": list(cluster.labels),
            "near": list(cluster.near),
            "held_out": cluster.held_out,
            "texts": whole.clusters[cluster.name],
            "share": _share(whole.clusters[cluster.name], whole.valid),
        }
        for family in all_families()
        for cluster in family.clusters.values()
    }
