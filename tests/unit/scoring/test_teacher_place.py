"""Where teachers score, and by what the settings let them."""

from __future__ import annotations

from typing import Any

import pytest

from jobs.runtime.executors import GpuRequest
from jobs.scoring.teacher_compute import Choices, choices
from jobs.scoring.teacher_place import Device, Place, gpu_request, place_of
from jobs.settings import TeacherScoringSettings
from models.errors import SettingsError

TASK, EXECUTOR = "spark.task.resource.gpu.amount", "spark.executor.resource.gpu.amount"
CLUSTER = {"spark.master": "k8s://https://there", "spark.executor.cores": "8"}


def settings(**values: Any) -> TeacherScoringSettings:
    return TeacherScoringSettings.model_validate(values)


@pytest.mark.parametrize(
    ("device", "conf", "place"),
    [
        ("auto", {}, Place("cpu")),
        ("cpu", {TASK: "1", EXECUTOR: "1"}, Place("cpu")),
        ("auto", {TASK: "1", EXECUTOR: "1", "spark.task.cpus": "4"}, Place("cuda", threads=4)),
        ("auto", {TASK: "0.25", EXECUTOR: "1"}, Place("cuda", threads=1)),
        ("auto", {EXECUTOR: "2"}, Place("cuda", threads=4, request=GpuRequest(cpus=4))),
        ("cuda", {}, Place("cuda", threads=1)),  # GPUs that Spark does not count
        ("auto", {"spark.dynamicAllocation.enabled": "true"}, Place("cpu")),
    ],
)
def test_on_a_cluster_the_session_says_who_has_a_gpu(device: str, conf: dict[str, str], place: Place) -> None:
    assert place_of(settings(device=device), CLUSTER | conf, 64) == place


def test_a_cluster_that_grows_is_asked_for_executors_with_a_gpu() -> None:
    conf = CLUSTER | {
        "spark.dynamicAllocation.enabled": "true", "spark.executor.resource.gpu.discoveryScript": "/opt/gpus.sh",
    }  # fmt: skip
    asked = gpu_request(conf)
    assert asked == GpuRequest(cpus=8, executor=True, discovery_script="/opt/gpus.sh", vendor="nvidia.com")
    assert place_of(settings(device="cuda"), conf, 64) == Place("cuda", threads=8, request=asked)


@pytest.mark.parametrize("master", ["local", "local[2]", "local[*]"])
def test_a_local_master_has_one_task_a_gpu_and_asks_for_nothing(master: str) -> None:
    conf = {"spark.master": master, EXECUTOR: "1"}
    assert place_of(settings(device="cuda"), conf, 16) == Place("cuda", tasks=1, threads=16)
    assert place_of(settings(device="cpu"), conf, 16) == Place("cpu")


@pytest.mark.parametrize(
    ("device", "engine", "precision", "chosen"),
    [
        ("cuda", "auto", "auto", Choices("bfloat16", ())),
        ("cuda", "torch", "float32", Choices("float32", ())),
        ("cpu", "auto", "auto", Choices("float32", ("int8", "float32"))),
        ("cpu", "onnxruntime", "float32", Choices("float32", ("float32",))),
        ("cpu", "auto", "int8", Choices("float32", ("int8", "float32"))),
        ("cpu", "torch", "auto", Choices("float32", ())),
        ("cpu", "auto", "bfloat16", Choices("bfloat16", ())),
    ],
)
def test_what_is_tried(device: Device, engine: str, precision: str, chosen: Choices) -> None:
    assert choices(settings(engine=engine, precision=precision), device) == chosen


@pytest.mark.parametrize(
    ("device", "engine", "precision"),
    [
        ("cuda", "onnxruntime", "auto"), ("cuda", "auto", "int8"), ("cpu", "torch", "int8"),
        ("cpu", "onnxruntime", "bfloat16"),
    ],
)  # fmt: skip
def test_what_there_is_not_is_refused(device: Device, engine: str, precision: str) -> None:
    with pytest.raises(SettingsError, match="teacher_scoring: "):
        choices(settings(engine=engine, precision=precision), device)
