"""Makes the sealed folder of a teacher's graph, once it was held to the teacher itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models import digests
from models.errors import BundleError
from models.folders import publish
from models.serving.onnx_engine import inference_session
from models.tasks import TaskKind
from models.teachers.batch_scoring import Result
from models.teachers.graph_quality import loss_of
from models.teachers.huggingface import quiet
from models.teachers.onnx_runner import OnnxRunner
from models.teachers.sealed_graph import MANIFEST, MODEL, GraphManifest, GraphPrecision, read_manifest
from models.teachers.teacher import Teacher
from models.teachers.teacher_graph import teacher_graph, with_small_weights


@dataclass(frozen=True)
class JudgedBy:
    """The texts that a graph is held to its teacher by.

    Attributes:
        texts: Some of those that the teacher learnt from.
        second: Of pairs, the second ones.
        kind: Of the task: how logits become decisions.
    """

    texts: Sequence[str]
    second: Sequence[str] | None
    kind: TaskKind


def seal_graph(
    folder: Path, teacher: Teacher, judged_by: JudgedBy, wanted: Sequence[GraphPrecision] = ("int8", "float32")
) -> GraphManifest:
    """Seal the first graph of the precisions wanted that repeats the teacher well enough, or none.

    Args:
        folder: Where.
        teacher: On the CPU.
        judged_by: The texts of the judgement.
        wanted: What to try, in this order; int8 must pass `Loss.passes`, float32 be the same but for rounding.

    Raises:
        BundleError: `folder` exists with other content.
    """
    model, losses, refused = None, {}, {}
    chosen: GraphPrecision | None = None
    try:
        exact = teacher_graph(teacher.model, types=judged_by.second is not None and _types(teacher.model.config))
    except BundleError as error:
        refused = dict.fromkeys(wanted, str(error))
    else:
        reference = teacher.score(judged_by.texts, second=judged_by.second)
        for precision in wanted:
            model = exact if precision == "float32" else with_small_weights(exact)
            loss = losses[precision] = loss_of(reference, _scored(model, teacher, judged_by), judged_by.kind)
            if len(judged_by.texts) and (loss.same if precision == "float32" else loss.passes):
                chosen = precision
                break
            refused[precision] = f"{loss.told()}; relative difference {loss.relative:.2g}"
    described = GraphManifest(
        teacher=teacher.digest, labels=len(teacher.labels), width=teacher.model.config.hidden_size,
        max_tokens=teacher.max_tokens, precision=chosen, losses=losses, refused=refused, files={},
    )  # fmt: skip

    def write(staging: Path) -> None:
        if chosen is not None and model is not None:
            (staging / MODEL).write_bytes(model)
            with quiet():
                teacher.tokenizer.save_pretrained(staging)
                teacher.model.config.save_pretrained(staging)
        files = {path.name: digests.of_file(path) for path in sorted(staging.iterdir())}
        manifest = described.model_copy(update={"files": files})
        (staging / MANIFEST).write_text(manifest.model_dump_json(indent=1) + "\n", "utf-8")

    publish(folder, write)
    return read_manifest(folder)


def _scored(model: bytes, teacher: Teacher, judged_by: JudgedBy) -> Result:
    runner = OnnxRunner(inference_session(model), teacher.tokenizer, teacher.model.config)
    scorer = teacher.scorer(runner)
    found = scorer.score(scorer.prepare(judged_by.texts, judged_by.second))
    return found.logits, found.states


def _types(config: Any) -> bool:
    return bool(getattr(config, "type_vocab_size", 0) > 1)
