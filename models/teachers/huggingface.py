"""Reads Hugging Face models: weights from safetensors only; code that comes with a model is never run."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import AutoModelForMaskedLM, AutoModelForSequenceClassification, AutoTokenizer, BertTokenizer
from transformers.utils import logging

from models.errors import BundleError, EnvError, SettingsError
from models.tasks import PoolingChoice, TaskKind
from models.teachers.checkpoint_checks import (
    check_vocabulary,
    check_weights,
    knows_nothing,
    without_wrapper,
    wrapper_of,
)
from models.teachers.checkpoint_files import SAVE_IT, expect_base, expect_checkpoint
from models.teachers.pooling import set_pooling


def load(folder: Path) -> tuple[Any, Any, list[str]]:
    """Tokenizer and classifier, in float32, of a folder that `save` wrote, and the weights that its files lack.

    Raises:
        BundleError: The folder holds no whole safetensors weights.
    """
    expect_checkpoint(folder, BundleError, "copy the teacher again or train it again")
    name, options = _named(folder)
    with quiet():
        tokenizer = AutoTokenizer.from_pretrained(name, **options)
        model, info = _model(AutoModelForSequenceClassification, name, options)
    return tokenizer, model, sorted(info["missing_keys"])


def _named(source: str | Path) -> tuple[str, dict[str, Any]]:
    """A model's name without its revision, and how it is read; a local folder is read without asking the hub.

    Of a name on the hub what follows `@` is its revision: a commit, a tag or a branch.
    """
    name, revision = str(source), ""
    local = Path(source).is_dir()
    if not local:
        name, _, revision = name.partition("@")
    return name, {"local_files_only": local, "trust_remote_code": False} | ({"revision": revision} if revision else {})


def _model(kind: Any, name: str, options: Mapping[str, Any]) -> tuple[Any, Mapping[str, Any]]:
    """A model of one of Transformers' Auto classes, and what it says of its loading."""
    model, info = kind.from_pretrained(
        name, use_safetensors=True, dtype=torch.float32, output_loading_info=True, **options
    )
    return model, info


def _base_tokenizer(name: str, options: Mapping[str, Any]) -> Any:
    """A base's tokenizer: the one that its kind of model has, or BERT's, which Chinese ALBERTs and others come with."""
    try:
        tokenizer = _tokenizer(name, options)
    except ValueError:  # it has none of the files that its kind of model reads
        tokenizer = BertTokenizer.from_pretrained(name, **options)
        if knows_nothing(tokenizer):
            raise
    if knows_nothing(tokenizer):
        with suppress(OSError, ValueError):
            plain = BertTokenizer.from_pretrained(name, **options)
            return tokenizer if knows_nothing(plain) else plain
    return tokenizer


def _tokenizer(name: str, options: Mapping[str, Any]) -> Any:
    try:
        return AutoTokenizer.from_pretrained(name, **options)
    except Exception as error:
        if type(error) is not Exception:
            raise
        # As `tokenizers` raises what it cannot read: a vocabulary in GBK, a tokenizer.json cut short.
        raise SettingsError(
            f"teacher.from: {name}: its vocabulary cannot be read ({_line(error)}); copy the tokenizer's files again"
        ) from error


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


def load_base(
    base: str | Path, labels: tuple[str, ...], kind: TaskKind = "multi_label", pooling: PoolingChoice = "auto"
) -> tuple[Any, Any]:
    """Tokenizer and model of a pretrained base with a new last layer for these labels.

    `auto` pools by the mean where the base brings no pooler of its own (models pretrained by masking alone, sentence
    encoders): a random one scrambles what the base knows, and few rows do not teach it back.

    What was loaded is checked: nothing but the new last layer and the pooler may be missing, and only the last layer
    begins at random. Names of weights with a prefix (`module.` of DataParallel) are read without it.

    Raises:
        SettingsError: `base` has no whole safetensors weights, is no base of a text classifier, or its weights, its
            config.json and its vocabulary do not belong to each other, or its class cannot read a mean.
        EnvError: It is no local folder, and the hub cannot be reached or does not have it.
    """
    tokenizer, model, info = _checked(AutoModelForSequenceClassification, base, "no text classifier's base", {
        "num_labels": len(labels),
        "id2label": dict(enumerate(labels)),
        "label2id": {label: at for at, label in enumerate(labels)},
        "problem_type": _PROBLEMS[kind],
        "ignore_mismatched_sizes": True,  # a base that was fine-tuned before has another last layer
    })  # fmt: skip
    untrained = _untrained_between(model, set(info["missing_keys"]))
    _begin_as_identity(untrained)
    if pooling == "auto":
        pooling = "mean" if untrained and hasattr(model, "classifier") else "cls"
    set_pooling(model, pooling, base)
    return tokenizer, model


def load_masked_model(base: str | Path) -> tuple[Any, Any]:
    """Tokenizer and masked language model of a pretrained base; layers that guess tokens are new where it has none.

    Raises:
        SettingsError: `base` has no whole safetensors weights, its weights, its config.json and its vocabulary do not
            belong to each other, or models of its kind guess no hidden tokens.
        EnvError: It is no local folder, and the hub cannot be reached or does not have it.
    """
    tokenizer, model, _ = _checked(AutoModelForMaskedLM, base, "no model that guesses hidden tokens", {})
    if tokenizer.mask_token_id is None:
        raise SettingsError(
            f"teacher.from: {base}: its tokenizer has no mask symbol, expected one as BERT's [MASK] for "
            "pretrain_steps above 0; name another model, or leave pretrain_steps out"
        )
    return tokenizer, model


def _checked(kind: Any, base: str | Path, is_none: str, head: Mapping[str, Any]) -> tuple[Any, Any, Mapping[str, Any]]:
    """Tokenizer, model and what was said of its loading, of a base that is whole.

    Args:
        kind: One of Transformers' Auto classes.
        base: A local folder or a name on the hub.
        is_none: What a base is that this class does not know, for the error.
        head: What else the class is given.
    """
    local = Path(base).is_dir()
    if local:
        expect_base(Path(base))
    name, options = _named(base)
    try:
        with quiet():
            tokenizer = _base_tokenizer(name, options)
            model, info = _model(kind, name, {**options, **head})
            wrapper = wrapper_of(model, info)
            if wrapper is not None:
                mapping = {"key_mapping": without_wrapper(model, wrapper)}
                model, info = _model(kind, name, {**options, **head, **mapping})
    except SafetensorError as error:
        raise SettingsError(
            f"teacher.from: {base}: its weights cannot be read ({error}), expected whole safetensors files; "
            "fetch them again"
        ) from error
    except OSError as error:
        if local:
            raise SettingsError(
                f"teacher.from: {base} cannot be read as a model ({_line(error)}); {SAVE_IT}"
            ) from error
        raise EnvError(
            f"teacher.from: {base} is no local folder and could not be read from the hub "
            f"({type(error).__name__}), expected a model with safetensors weights; check the name, "
            "or download it and give its folder"
        ) from error
    except ValueError as error:
        raise SettingsError(f"teacher.from: {base} is {is_none} ({_line(error)}); name another model") from error
    check_weights(base, model, info)
    check_vocabulary(base, tokenizer, model)
    return tokenizer, model, info


def _untrained_between(model: Any, new: Collection[str]) -> list[nn.Linear]:
    """The new square layers between the base and the last layer: a pooler, or a head's `dense`."""
    *between, _ = (entry for entry in model.named_modules() if isinstance(entry[1], nn.Linear))
    return [layer for name, layer in between if f"{name}.weight" in new and layer.in_features == layer.out_features]


def _begin_as_identity(layers: Iterable[nn.Linear]) -> None:
    """Let layers pass on what comes, so that nothing random stands between the base and the last layer."""
    with torch.no_grad():
        for layer in layers:
            nn.init.eye_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def _line(error: Exception) -> str:
    """The first line of what an error says."""
    lines = (line.strip().rstrip(":.") for line in str(error).splitlines())
    return next(filter(None, lines), type(error).__name__)


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
