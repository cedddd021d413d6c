"""Batch functions of `udfs` over frames: their Arrow schema as Spark's, on workers of the driver's own build."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow as pa
from pyspark import TaskContext
from pyspark.resource import ExecutorResourceRequests, ResourceProfile, ResourceProfileBuilder, TaskResourceRequests
from pyspark.sql import DataFrame
from pyspark.sql.pandas.types import from_arrow_schema

from udfs.build import same_build

GPU = "gpu"


@dataclass(frozen=True, slots=True)
class GpuRequest:
    """What a stage asks of Spark so that each of its tasks has a GPU (stage-level scheduling).

    Attributes:
        cpus: Cores of a task.
        executor: Whether executors with a GPU are asked for too; else the ones that run have them.
        discovery_script: Tells an executor's GPUs.
        vendor: Of the GPUs, as Kubernetes names it.
    """

    cpus: int
    executor: bool = False
    discovery_script: str = ""
    vendor: str = ""

    def profile(self) -> ResourceProfile:
        """The request in Spark's words; needs a session."""
        builder = ResourceProfileBuilder().require(TaskResourceRequests().cpus(self.cpus).resource(GPU, 1))
        if self.executor:
            asked = ExecutorResourceRequests().cores(self.cpus)
            builder = builder.require(asked.resource(GPU, 1, self.discovery_script, self.vendor))
        return builder.build


def map_batches(
    frame: DataFrame, function: Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]], schema: pa.Schema,
    request: GpuRequest | None = None,
) -> DataFrame:  # fmt: skip
    """The frame's batches through a batch function that gives batches of this schema.

    A worker that runs another build than the driver refuses them (`EnvError`). With a `request` its tasks have a GPU.
    """
    profile = None if request is None else request.profile()
    return frame.mapInArrow(same_build(function), from_arrow_schema(schema), profile=profile)


def gpus_of_the_task() -> tuple[str, ...]:
    """The addresses of the GPUs that Spark gave the task that calls this; none where it gives none."""
    task = TaskContext.get()
    given = task.resources().get(GPU) if task is not None else None
    return () if given is None else tuple(given.addresses)
