"""By what teachers score: decided on the driver, once, so that all tasks of a run and of its restart do alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from jobs.lake import registry
from jobs.lake.registry import RegisteredModel
from jobs.lake.store import Lake
from jobs.scoring import teacher_graphs
from jobs.scoring.teacher_place import Device, Place, place_of
from jobs.settings import TeacherScoringSettings
from models.errors import SettingsError
from models.tasks import TaskSettings
from models.teachers.token_batches import CPU_TOKENS, GPU_TOKENS
from udfs.model_files import ModelFiles
from udfs.teacher_scoring import Compute

GraphPrecision: TypeAlias = Literal["float32", "int8"]
Say: TypeAlias = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Choices:
    """Torch's precision, and the graphs that are tried before it, in this order."""

    torch: Literal["float32", "bfloat16"]
    graphs: tuple[GraphPrecision, ...]


@dataclass(frozen=True, slots=True)
class Prepared:
    """By what a teacher scores, and where.

    Attributes:
        compute: By what.
        files: What its tasks open for it: its own files, or those of its graph.
        place: Where they run.
    """

    compute: Compute
    files: ModelFiles
    place: Place


def choices(settings: TeacherScoringSettings, device: Device) -> Choices:
    """What the settings leave to choose from on a device.

    Raises:
        SettingsError: They ask for what there is not.
    """
    engine, precision = settings.engine, settings.precision
    if device == "cuda":
        if engine == "onnxruntime" or precision == "int8":
            raise SettingsError(
                f"teacher_scoring: engine {engine} with precision {precision} is for CPUs, and teachers score on GPUs "
                "here; set device: cpu, or leave engine and precision to auto"
            )
        return Choices("float32" if precision == "float32" else "bfloat16", ())
    if (engine == "torch" and precision == "int8") or (engine == "onnxruntime" and precision == "bfloat16"):
        raise SettingsError(
            f"teacher_scoring: engine {engine} has no precision {precision} on a CPU, expected onnxruntime for int8, "
            "torch for bfloat16; leave one of them to auto"
        )
    if precision == "bfloat16":
        return Choices("bfloat16", ())
    graphs: tuple[GraphPrecision, ...] = ("float32",) if precision == "float32" else ("int8", "float32")
    return Choices("float32", () if engine == "torch" else graphs)


def prepare(
    lake: Lake, teacher: RegisteredModel, task: TaskSettings, settings: TeacherScoringSettings, say: Say
) -> Prepared:
    """By what a teacher scores, and the files that its tasks open.

    On CPUs a graph is made of each teacher, once, and kept beside it: by the driver, which has the texts to judge it by
    and what it takes to draw it, so that executors need neither and all of them, tonight or in a restart, score with
    the same bytes. What was found then is what every later run goes by.

    Args:
        lake: Where the teacher lies, and its graph.
        teacher: Which.
        task: Its task.
        settings: What is asked for.
        say: Told by what the teacher scores, and what was refused.
    """
    itself = in_torch(lake, teacher, settings)
    graphs = choices(settings, itself.place.device).graphs
    if not graphs:
        return itself
    files, manifest = teacher_graphs.graph_of(lake, teacher, task.kind, graphs)
    for precision, why in manifest.refused.items():
        say(f"  {teacher.task}: {precision} by ONNX Runtime refused: {why}")
    if manifest.precision is None:
        say(f"  {teacher.task}: scored by torch")
        return itself
    loss = manifest.losses[manifest.precision].told()
    say(f"  {teacher.task}: scored by ONNX Runtime in {manifest.precision}; {loss}")
    compute = replace(itself.compute, engine="onnxruntime", precision=manifest.precision)
    return replace(itself, files=files, compute=compute)


def in_torch(lake: Lake, teacher: RegisteredModel, settings: TeacherScoringSettings) -> Prepared:
    """By what a teacher scores without a graph of its own."""
    context = lake.spark.sparkContext
    place = place_of(settings, dict(context.getConf().getAll()), context.defaultParallelism)
    tokens = settings.batch_tokens or (GPU_TOKENS if place.device == "cuda" else CPU_TOKENS)
    compute = Compute(place.device, "torch", choices(settings, place.device).torch, tokens)
    return Prepared(compute, registry.files(lake, teacher), place)
