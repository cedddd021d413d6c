"""Makes the sealed folder of a teacher's graph, once it was held to the teacher itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models import digests
from models.errors import BundleError
from models.folders import publish
from models.serving.onnx_engine import inference_session
from models.tasks import TaskKind
from models.teachers.batch_scoring import Result
from models.teachers.graph_quality import Loss, loss_of
from models.teachers.huggingface import quiet
from models.teachers.onnx_runner import OnnxRunner
from models.teachers.sealed_graph import MANIFEST, MODEL, GraphManifest, GraphPrecision, read_manifest
from models.teachers.teacher import Teacher
from models.teachers.teacher_graph import teacher_graph, with_small_weights
from models.teachers.text_scorer import TextScorer


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
    model: bytes | None = None
    losses: dict[str, Loss] = {}
    refused: dict[str, str] = {}
    chosen: GraphPrecision | None = None
    try:
        exact = teacher_graph(teacher.model, types=judged_by.second is not None and _types(teacher.model.config))
    except BundleError as error:
        refused = {precision: str(error) for precision in wanted}
    else:
        reference = _scored(teacher.scorer(), judged_by)
        scored = np.isfinite(reference[0]).all(1)  # what the teacher cannot score, no graph need score
        for precision in wanted:
            model = exact if precision == "float32" else with_small_weights(exact)
            runner = OnnxRunner(inference_session(model), teacher.tokenizer, teacher.model.config)
            logits, states = _scored(teacher.scorer(runner), judged_by)
            faster = logits[scored], states[scored]
            loss = loss_of((reference[0][scored], reference[1][scored]), faster, judged_by.kind)
            losses[precision] = loss
            if scored.any() and (loss.same if precision == "float32" else loss.passes):
                chosen = precision
                break
            refused[precision] = f"{loss.told()}; relative difference {loss.relative:.2g}"
    return write_graph(folder, teacher, model if chosen else None, chosen, losses, refused)


def write_graph(
    folder: Path, teacher: Teacher, model: bytes | None, precision: GraphPrecision | None,
    losses: Mapping[str, Loss], refused: Mapping[str, str],
) -> GraphManifest:  # fmt: skip
    """Seal a graph of a precision with what was found of it, or, without one, why there is none.

    Raises:
        BundleError: `folder` exists with other content.
    """
    described = GraphManifest(
        teacher=teacher.digest, labels=len(teacher.labels), width=teacher.model.config.hidden_size,
        max_tokens=teacher.max_tokens, precision=precision, losses=dict(losses), refused=dict(refused), files={},
    )  # fmt: skip

    def write(staging: Path) -> None:
        if model is not None:
            (staging / MODEL).write_bytes(model)
            with quiet():
                teacher.tokenizer.save_pretrained(staging)
                teacher.model.config.save_pretrained(staging)
        files = {path.name: digests.of_file(path) for path in sorted(staging.iterdir())}
        manifest = described.model_copy(update={"files": files})
        (staging / MANIFEST).write_text(manifest.model_dump_json(indent=1) + "\n", "utf-8")

    publish(folder, write)
    return read_manifest(folder)


def _scored(scorer: TextScorer, judged_by: JudgedBy) -> Result:
    found = scorer.score(scorer.prepare(judged_by.texts, judged_by.second))
    return found.logits, found.states


def _types(config: Any) -> bool:
    return bool(getattr(config, "type_vocab_size", 0) > 1)
