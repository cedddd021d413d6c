"""Where teachers score: the device of their tasks, and what their stage asks of Spark for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from jobs.runtime.executors import GpuRequest
from jobs.settings import TeacherScoringSettings

Device: TypeAlias = Literal["cpu", "cuda"]
_TASK_GPUS, _EXECUTOR_GPUS = "spark.task.resource.gpu.amount", "spark.executor.resource.gpu.amount"
_DYNAMIC = "spark.dynamicAllocation.enabled"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a teacher's tasks run.

    Attributes:
        device: What they compute on.
        tasks: How many share the texts; None for as many as Spark runs at once.
        threads: Cores of a task, which make token ids while its GPU computes.
        request: What their stage asks of Spark beside the session's settings.
    """

    device: Device
    tasks: int | None = None
    threads: int = 1
    request: GpuRequest | None = None


def place_of(settings: TeacherScoringSettings, conf: Mapping[str, str], cores: int) -> Place:
    """Where the tasks run, by the settings and the session's configuration.

    `auto` is the GPU where Spark gives tasks one, or on a local master where torch finds one; what it decides is the
    driver's word, and a task that then has no GPU fails. A local master knows no resources: there one task has the
    machine's first GPU, and all cores to feed it.

    Args:
        settings: Of the scoring.
        conf: Of the session, `spark.master` among it.
        cores: How many tasks Spark runs at once.
    """
    local = conf.get("spark.master", "local").startswith("local[") or conf.get("spark.master", "local") == "local"
    device = settings.device
    if device == "auto":
        device = "cuda" if (_gpu_here() if local else _positive(conf, _TASK_GPUS, _EXECUTOR_GPUS)) else "cpu"
    if device == "cpu":
        return Place("cpu")
    if local:
        return Place("cuda", tasks=1, threads=max(cores, 1))
    request = gpu_request(conf)
    own = request.cpus if request else int(conf.get("spark.task.cpus", "1"))
    return Place("cuda", threads=own, request=request)


def gpu_request(conf: Mapping[str, str]) -> GpuRequest | None:
    """What a stage asks of Spark so that each of its tasks has a GPU; None where the session's settings say all of it.

    Stage-level scheduling keeps the GPUs for the teacher's stage: the tasks of other stages share an executor as
    always. Executors that have GPUs need only tell their tasks so; where executors come and go (dynamic allocation),
    ones with a GPU are asked for. Where neither holds, the tasks take what they find.
    """
    if _positive(conf, _TASK_GPUS):
        return None
    cores = int(conf.get("spark.executor.cores", "1"))
    if _positive(conf, _EXECUTOR_GPUS):
        gpus = max(int(float(conf[_EXECUTOR_GPUS])), 1)
        return GpuRequest(cpus=max(cores // gpus, 1))
    if conf.get(_DYNAMIC, "false").lower() == "true":
        script = conf.get("spark.executor.resource.gpu.discoveryScript", "")
        vendor = conf.get("spark.executor.resource.gpu.vendor", "nvidia.com")
        return GpuRequest(cpus=cores, executor=True, discovery_script=script, vendor=vendor)
    return None


def _positive(conf: Mapping[str, str], *keys: str) -> bool:
    return any(float(conf.get(key, "0") or "0") > 0 for key in keys)


def _gpu_here() -> bool:
    import torch

    return torch.cuda.is_available()
