"""The graphs that teachers score by on CPUs: made by the driver, kept beside the teachers."""

from __future__ import annotations

import shutil
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Literal

import pyarrow.compute as pc

from jobs.lake import registry, tables
from jobs.lake.registry import CONTENT, RegisteredModel
from jobs.lake.store import Lake
from models import digests
from models.errors import BundleError
from models.tasks import TaskKind
from udfs.model_files import ModelFiles

if TYPE_CHECKING:
    from models.teachers.graph_sealing import JudgedBy
    from models.teachers.sealed_graph import GraphManifest

_TEXTS = 256
"""Of the teacher's own rows, by which its graph is judged."""


def graph_of(
    lake: Lake, teacher: RegisteredModel, kind: TaskKind, wanted: tuple[Literal["float32", "int8"], ...]
) -> tuple[ModelFiles, GraphManifest]:
    """The files of a teacher's graph, which may hold none, and what is known of it; made where it is not there.

    Args:
        lake: Where the teacher lies.
        teacher: Which.
        kind: Of its task.
        wanted: The precisions to try, in this order.

    Raises:
        BundleError: The teacher's files are not those that were registered.
    """
    from models.teachers.graph_sealing import seal_graph
    from models.teachers.sealed_graph import MANIFEST, VERSION, is_whole, read_manifest
    from models.teachers.teacher import Teacher
    from models.training.devices import scoring_device

    name = f"{PurePosixPath(teacher.path).name}-graph-{digests.of_json([VERSION, kind, wanted], chars=8)}"
    folder = lake.bundles.found(name)
    if folder is not None and not is_whole(folder):  # fetched from where a run was killed while it wrote
        shutil.rmtree(folder)
        folder = None
    if folder is None:
        opened = Teacher.open(registry.files(lake, teacher).local(), scoring_device("cpu"))
        if opened.digest != teacher.digests[CONTENT]:
            raise BundleError(
                f"{teacher.path}: its content has the digest {opened.digest[:12]}…, its row in models says "
                f"{teacher.digests[CONTENT][:12]}…; copy the teacher again or train it again"
            )
        folder = lake.bundles.folder / name
        seal_graph(folder, opened, _judged_by(lake, teacher, kind), wanted)
    if not lake.bundles.shared(name):
        lake.bundles.published(folder)
    manifest = read_manifest(folder)
    return lake.bundles.files(f"{lake.bundles.place}/{name}", {MANIFEST: digests.of_file(folder / MANIFEST)}), manifest


def _judged_by(lake: Lake, teacher: RegisteredModel, kind: TaskKind) -> JudgedBy:
    """Some of the teacher's own rows, always the same."""
    from models.teachers.graph_sealing import JudgedBy

    own = pc.field("round_id") == teacher.model_id
    rows = lake.arrow(tables.ROUND_SAMPLES, "text_hash", "text", "text_b", where=own)
    chosen = rows.sort_by("text_hash").slice(0, _TEXTS)
    second = chosen.column("text_b").to_pylist() if kind == "pair" else None
    return JudgedBy(chosen.column("text").to_pylist(), second, kind)
