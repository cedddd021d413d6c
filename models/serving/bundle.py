"""The sealed folder of one exported student: written whole or not at all, opened only if nothing changed.

`model.onnx`, `vocabulary.json`, `labels.json` and `manifest.json`, which holds the SHA-256 of the other
three and of itself. A bundle says which texts it fits (cleaner version, length) and how far its probabilities were
from the trained student's when it was exported.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PositiveInt, ValidationError

from models import digests
from models.errors import BundleError
from models.folders import publish
from models.settings_base import Frozen
from models.tasks import TaskKind
from models.text.word_vocabulary import AnyVocabulary, read_vocabulary

MODEL, VOCABULARY, LABELS, MANIFEST = "model.onnx", "vocabulary.json", "labels.json", "manifest.json"
PARTS = (MODEL, VOCABULARY, LABELS)  # what the manifest holds digests of
Precision = Literal["int16", "int8", "float32"]  # of the numbers in a folded graph's tables


class Parity(Frozen):
    """How well the exported graph repeats the trained student, in probabilities over a grid of batches."""

    max_difference: float = Field(ge=0)
    grid: dict[str, tuple[int, ...]]  # batch sizes and text lengths that were tried


class Folding(Frozen):
    """A graph whose convolutions are tables, a number by character, place in the window and filter.

    `max_difference` and `changed` compare it with the same graph over float tables, on the grid of `Parity`.
    """

    precision: Precision
    widths: tuple[PositiveInt, ...] = Field(min_length=1)
    filters: PositiveInt  # of each width
    max_difference: float = Field(ge=0)  # of a probability
    changed: float = Field(ge=0, le=1)  # share of the decisions by first thresholds that came out otherwise
    decisions: PositiveInt  # how many were compared
    pooling: Literal["max", "sum"] = "max"  # what is kept of a filter's responses to a text's windows


class BundleFacts(Frozen):
    """What the maker of a bundle knows about it."""

    model_id: str
    task: str
    kind: str
    labels: tuple[str, ...] = Field(min_length=1)
    outcome: TaskKind = "multi_label"  # whether the labels are judged each by itself, or share one probability
    max_length: PositiveInt  # longer texts are cut to this many characters
    min_length: PositiveInt  # the widest filter: shorter texts are padded to exactly this
    clean_version: str
    opset: PositiveInt
    parity: Parity
    folding: Folding | None = None  # None: the graph is the network's own
    extra: dict[str, Any] = Field(default_factory=dict)  # lineage: round, teacher, training data


class Manifest(BundleFacts):
    """The facts, and what sealing added."""

    format: Literal[1] = 1
    vocabulary_size: PositiveInt
    files: dict[str, str]  # SHA-256 by file name
    digest: str = ""  # SHA-256 of the manifest without this field

    def own_digest(self) -> str:
        """What `digest` has to be."""
        return digests.of_json(self.model_dump(mode="json", exclude={"digest": True, **self.omitted_fields}))

    @property
    def omitted_fields(self) -> dict[str, Any]:
        """Fields that the file leaves out: bundles older than they are have the digest of a manifest without them."""
        omitted_fields: dict[str, Any] = {}
        if self.folding is None:
            omitted_fields["folding"] = True
        elif self.folding.pooling == "max":
            omitted_fields["folding"] = {"pooling"}
        if self.outcome == "multi_label":
            omitted_fields["outcome"] = True
        return omitted_fields


@dataclass(frozen=True, slots=True)
class Bundle:
    """An opened bundle whose files are what the manifest says."""

    path: Path
    manifest: Manifest
    vocabulary: AnyVocabulary

    @property
    def model(self) -> Path:
        """The ONNX file."""
        return self.path / MODEL


def seal(folder: Path, *, model: bytes, vocabulary: AnyVocabulary, facts: BundleFacts) -> Path:
    """Write a bundle: all of it appears under `folder` at once, or nothing does.

    Sealing the same content again is no error, so that a run killed after it can be repeated.

    Raises:
        BundleError: `folder` exists and holds something else.
    """
    labels = json.dumps(facts.labels, ensure_ascii=False).encode()
    parts = {MODEL: model, VOCABULARY: vocabulary.to_json(), LABELS: labels}
    manifest = Manifest(
        **dict(facts),
        vocabulary_size=len(vocabulary),
        files={name: digests.of_bytes(data) for name, data in parts.items()},
    )
    manifest = manifest.model_copy(update={"digest": manifest.own_digest()})
    parts[MANIFEST] = (manifest.model_dump_json(indent=1, exclude=manifest.omitted_fields) + "\n").encode()

    def write(staging: Path) -> None:
        for name, data in parts.items():
            (staging / name).write_bytes(data)

    return publish(folder, write)


def open_bundle(path: Path | str) -> Bundle:
    """Open a bundle after checking every file of it.

    Raises:
        BundleError: A file is missing, added, a link, or not what was sealed; the message names the file.
    """
    path = Path(path)
    _check_names(path)
    manifest = _read_manifest(path / MANIFEST)
    for name in PARTS:
        _check_same(path / name, digests.of_file(path / name), manifest.files.get(name, "no digest"))
    if json.loads((path / LABELS).read_bytes()) != list(manifest.labels):
        raise BundleError(f"{path}: {LABELS} and {MANIFEST} list other labels; export the model again")
    vocabulary = read_vocabulary(path / VOCABULARY)
    if len(vocabulary) != manifest.vocabulary_size:
        raise BundleError(
            f"{path}: {VOCABULARY} holds {len(vocabulary)} ids, {MANIFEST} says {manifest.vocabulary_size}; "
            "export the model again"
        )
    return Bundle(path, manifest, vocabulary)


def _check_names(path: Path) -> None:
    """Exactly our four plain files. The folder itself may be a link: Spark unpacks archives behind one."""
    if not path.is_dir():
        raise BundleError(f"{path}: no such folder, expected a sealed bundle; check the path or export the model")
    expected = {*PARTS, MANIFEST}
    present = {item.name: item for item in path.iterdir()}
    if missing := sorted(expected - present.keys()):
        raise BundleError(f"{path}: {', '.join(missing)} is missing; copy the bundle again or export the model")
    if surplus := sorted(present.keys() - expected):
        raise BundleError(
            f"{path}: holds {', '.join(surplus)}, which no bundle has; remove it or copy the bundle again"
        )
    for name, item in present.items():
        if item.is_symlink() or not item.is_file():
            raise BundleError(f"{path}: {name} is not a plain file; copy the bundle again, following links")


def _read_manifest(path: Path) -> Manifest:
    try:
        manifest = Manifest.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise BundleError(
            f"{path}: not a manifest of format 1 ({where}: {first['msg']}); export the model again"
        ) from None
    _check_same(path, manifest.own_digest(), manifest.digest)
    return manifest


def _check_same(path: Path, got: str, expected: str) -> None:
    if got != expected:
        raise BundleError(
            f"{path.parent}: {path.name} has digest {got[:16]}, the manifest says {expected[:16]}; "
            "the file was changed after sealing: copy the bundle again or export the model"
        )
