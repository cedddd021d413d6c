"""The sealed folder of a teacher's graph: what CPU tasks score with in its place, or why they cannot.

`model.onnx`, the tokenizer's files and config.json, and `manifest.json` with the SHA-256 of all of them, what the graph
was found to lose against the teacher, and of which teacher it is. A folder without a graph says why there is none, so
that nobody tries again each night.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import ValidationError
from transformers import AutoConfig, AutoTokenizer

from models import digests
from models.errors import BundleError
from models.serving.onnx_engine import inference_session
from models.settings_base import Frozen
from models.teachers.batch_scoring import Budget
from models.teachers.graph_quality import Loss
from models.teachers.huggingface import quiet
from models.teachers.onnx_runner import OnnxRunner
from models.teachers.text_scorer import TextScorer

VERSION = 1
"""Raised where another graph is made of the same teacher, or is judged otherwise."""
MODEL, MANIFEST = "model.onnx", "manifest.json"
GraphPrecision: TypeAlias = Literal["float32", "int8"]


class GraphManifest(Frozen):
    """What a sealed folder says of itself."""

    version: int = VERSION
    teacher: str
    """The digest of the teacher."""
    labels: int
    width: int
    max_tokens: int
    precision: GraphPrecision | None
    """Of the graph's weights; None where there is no graph."""
    losses: dict[str, Loss]
    """What was found of each precision that was tried."""
    refused: dict[str, str]
    """Of each precision that was tried in vain, why."""
    files: dict[str, str]


def read_manifest(folder: Path) -> GraphManifest:
    """What a sealed folder says of itself.

    Raises:
        BundleError: It has no manifest, or one of another version.
    """
    try:
        return GraphManifest.model_validate_json((folder / MANIFEST).read_text("utf-8"))
    except (OSError, ValidationError) as error:
        raise BundleError(
            f"{folder}: {MANIFEST} cannot be read ({type(error).__name__}), expected a teacher's sealed graph; remove "
            "the folder, and it is made again"
        ) from error


def is_whole(folder: Path) -> bool:
    """Whether a sealed folder has all its files; whether they are as they were sealed is looked at by who opens it."""
    return (folder / MANIFEST).is_file() and all((folder / name).is_file() for name in read_manifest(folder).files)


def open_graph(folder: Path, teacher: str, tokens: int) -> TextScorer:
    """What scores texts by a sealed graph, on one core.

    Args:
        folder: Which.
        teacher: The digest of the teacher that it must be of.
        tokens: Of a batch.

    Raises:
        BundleError: A file is not as it was sealed, there is no graph in it, or it is of another teacher.
    """
    manifest = read_manifest(folder)
    if manifest.teacher != teacher or manifest.precision is None:
        raise BundleError(
            f"{folder}: holds no graph of the teacher {teacher[:12]}…, but of {manifest.teacher[:12]}…; remove the "
            "folder, and it is made again"
        )
    for name, wanted in manifest.files.items():
        if not (folder / name).is_file() or (got := digests.of_file(folder / name)) != wanted:
            what = f"has digest {got[:12]}…" if (folder / name).is_file() else "is missing"
            raise BundleError(f"{folder}: {name} {what}, {MANIFEST} says {wanted[:12]}…; remove the folder")
    with quiet():
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    runner = OnnxRunner(inference_session((folder / MODEL).read_bytes()), tokenizer, config)
    return TextScorer(tokenizer, manifest.max_tokens, manifest.labels, manifest.width, runner, Budget(tokens))
