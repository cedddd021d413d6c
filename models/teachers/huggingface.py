"""Reads Hugging Face models: weights from safetensors only; code that comes with a model is never run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils import logging

from models.errors import BundleError, EnvError, SettingsError
from models.tasks import TaskKind


def load(source: str | Path, **options: Any) -> tuple[Any, Any]:
    """Tokenizer and classifier in float32; a local folder is read without asking the hub.

    Of a name on the hub what follows `@` is its revision: a commit, a tag or a branch.
    """
    name, revision = str(source), ""
    local = Path(source).is_dir()
    if not local:
        name, _, revision = name.partition("@")
    common = {"local_files_only": local, "trust_remote_code": False} | ({"revision": revision} if revision else {})
    with quiet():
        tokenizer = AutoTokenizer.from_pretrained(name, **common)
        model = AutoModelForSequenceClassification.from_pretrained(
            name, use_safetensors=True, dtype=torch.float32, **common, **options
        )
    return tokenizer, model


def with_revision(source: str, model: Any) -> str:
    """A name on the hub with the commit that a model was read from behind it; as it is where that is not known."""
    commit = getattr(model.config, "_commit_hash", None)
    if Path(source).is_dir() or commit is None:
        return source
    return f"{source.partition('@')[0]}@{commit}"


def save(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write config.json, model.safetensors and the tokenizer's files into an existing folder."""
    with quiet():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


_PROBLEMS: dict[TaskKind, str] = {
    "multi_label": "multi_label_classification",
    "multi_class": "single_label_classification",
    "pair": "multi_label_classification",
}


def load_base(base: str | Path, labels: tuple[str, ...], kind: TaskKind = "multi_label") -> tuple[Any, Any]:
    """Tokenizer and model of a pretrained base with a new last layer for these labels.

    Raises:
        SettingsError: `base` has no safetensors weights, or is no base of a text classifier.
        EnvError: It is no local folder, and the hub cannot be reached or does not have it.
    """
    if Path(base).is_dir():
        expect_safetensors(Path(base), SettingsError, "save the model with safe_serialization and name it again")
    try:
        return load(
            base,
            num_labels=len(labels),
            id2label=dict(enumerate(labels)),
            label2id={label: at for at, label in enumerate(labels)},
            problem_type=_PROBLEMS[kind],
            ignore_mismatched_sizes=True,  # a base that was fine-tuned before has another last layer
        )
    except OSError as error:
        raise EnvError(
            f"teacher.from: {base} is no local folder and could not be read from the hub "
            f"({type(error).__name__}), expected a model with safetensors weights; check the name, "
            "or download it and give its folder"
        ) from error
    except ValueError as error:
        raise SettingsError(
            f"teacher.from: {base} is no text classifier's base ({error}); name another model"
        ) from error


def expect_safetensors(folder: Path, kind: type[SettingsError | BundleError], remedy: str) -> None:
    """Raise an error of this kind unless the folder exists and holds safetensors weights."""
    if not folder.is_dir():
        raise kind(f"{folder}: no such folder, expected a Hugging Face model; {remedy}")
    if not any(folder.glob("*.safetensors")):
        raise kind(f"{folder}: holds no *.safetensors, the only weights that are read; {remedy}")


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars and no reports of new layers, which are ours to expect; as before afterwards."""
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
