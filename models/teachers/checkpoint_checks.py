"""What was really loaded of a pretrained model: its weights, its vocabulary, and that they belong to each other.

Transformers fills what a checkpoint lacks with random numbers, and makes a tokenizer of five symbols where there is no
vocabulary: both train, and neither is the model that was named.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from models.errors import SettingsError
from models.teachers.tokenisation import Tokens

MOST_UNKNOWN = 1 / 3
"""Above this share of unknown symbols a tokenizer is not of the texts' language."""


def wrapper_of(model: Any, info: Mapping[str, Any]) -> str | None:
    """The prefix of the file's names that the model's do not have, such as `module.bert.` of DataParallel.

    None where the base's weights were found, or no single prefix makes the names fit.
    """
    missing, unexpected = _body(model, info["missing_keys"]), info["unexpected_keys"]
    names = {name.removeprefix(_prefix(model)) for name in missing if not _is_pooler(name)}
    prefixes = [
        {other.removesuffix(name) for other in unexpected if other.endswith(f".{name}")} for name in sorted(names)
    ]
    fitting = set.intersection(*prefixes) if prefixes else set()
    return fitting.pop() if len(fitting) == 1 else None


def without_wrapper(model: Any, prefix: str) -> dict[str, str]:
    """`key_mapping` of Transformers, from names with this prefix to the model's own."""
    return {f"^{re.escape(prefix)}": _prefix(model)}


def check_weights(base: object, model: Any, info: Mapping[str, Any]) -> None:
    """Raise `SettingsError` unless every weight of the base came from its files.

    Only the last layers, which are new, and the pooler may be missing: what was pretrained by masking alone has none.
    """
    body = _body(model, list(model.state_dict()))
    lacking = [name for name in _body(model, info["missing_keys"]) if not _is_pooler(name)]
    other = [name for name, _, _ in info["mismatched_keys"] if name in body]
    if lacking:
        raise SettingsError(
            f"teacher.from: {base}: {len(lacking)} of the {len(body)} weights of a {type(model).__name__} are not in "
            f"its files, such as {lacking[0]}{_instead(info['unexpected_keys'])}; give the model as it was pretrained, "
            "with the config.json that belongs to its weights"
        )
    if other:
        name, got, expected = min(entry for entry in info["mismatched_keys"] if entry[0] in body)
        raise SettingsError(
            f"teacher.from: {base}: {len(other)} weights have other shapes than config.json says, such as {name} with "
            f"{list(got)} for {list(expected)}; give the config.json that belongs to these weights"
        )
    broken = [name for name, weight in model.state_dict().items() if name in body and not _is_finite(weight)]
    if broken:
        raise SettingsError(
            f"teacher.from: {base}: {len(broken)} weights hold NaN or infinity, such as {broken[0]}: its training "
            "came to nothing, or it was saved in a type too small for it; give another checkpoint"
        )
    beyond = _layers_beyond(model, info["unexpected_keys"])
    if beyond:
        raise SettingsError(
            f"teacher.from: {base}: the files have layers that config.json leaves out, such as {beyond[0]}; give the "
            "config.json that belongs to these weights, or save the shorter model as one of its own"
        )


def _is_finite(weight: torch.Tensor) -> bool:
    return not weight.is_floating_point() or bool(torch.isfinite(weight).all())


def check_vocabulary(base: object, tokenizer: Any, model: Any) -> None:
    """Raise `SettingsError` for a tokenizer without a vocabulary, or with symbols that the model has no row for."""
    if knows_nothing(tokenizer):
        raise SettingsError(
            f"teacher.from: {base}: holds no vocabulary (its tokenizer knows {len(tokenizer)} symbols, all special), "
            "expected vocab.txt, tokenizer.json or what else the tokenizer reads; copy the tokenizer's files beside "
            "the weights"
        )
    largest, rows = max(tokenizer.get_vocab().values()), int(model.get_input_embeddings().num_embeddings)
    if largest >= rows:
        raise SettingsError(
            f"teacher.from: {base}: the tokenizer knows ids up to {largest}, and the embeddings have {rows} rows; give "
            "the vocabulary that belongs to these weights"
        )


def knows_nothing(tokenizer: Any) -> bool:
    """Whether a tokenizer has no symbol but the special ones."""
    return not set(tokenizer.get_vocab()) - set(tokenizer.all_special_tokens)


def check_known(base: object, tokenizer: Any, tokens: Tokens) -> None:
    """Raise `SettingsError` where most of what a task's texts say is unknown to the tokenizer."""
    if tokenizer.unk_token_id is None:
        return  # one of bytes, which knows everything
    said = ~np.isin(tokens.encoded.ids, _special_ids(tokenizer))
    unknown = tokens.encoded.ids[said] == tokenizer.unk_token_id
    if len(unknown) and unknown.mean() > MOST_UNKNOWN:
        raise SettingsError(
            f"teacher.from: {base}: {unknown.mean():.0%} of the symbols of the task's texts are "
            f"{tokenizer.unk_token} to its tokenizer of {len(tokenizer)}, expected at most {MOST_UNKNOWN:.0%}; name a "
            "model of the texts' language, with its own vocabulary"
        )


def _special_ids(tokenizer: Any) -> list[int]:
    return [at for at in tokenizer.all_special_ids if at != tokenizer.unk_token_id]


def _prefix(model: Any) -> str:
    return f"{model.base_model_prefix}."


def _body(model: Any, names: Sequence[str]) -> list[str]:
    """Those of some names that are the base's, not the new last layers'."""
    return sorted(name for name in names if name.startswith(_prefix(model)))


def _is_pooler(name: str) -> bool:
    return ".pooler." in name


def _instead(unexpected: Sequence[str]) -> str:
    return f", which have others, such as {min(unexpected)}" if unexpected else ""


def _layers_beyond(model: Any, unexpected: Sequence[str]) -> list[str]:
    """Numbered layers of the files that the model does not have, beside some that it has."""
    prefix, names = _prefix(model), list(model.state_dict())
    found = {match[0] for name in unexpected if (match := re.match(r"(?:[^.]+\.)+?\d+\.", name))}
    siblings = {f"{prefix}{layer.removeprefix(prefix)}": layer for layer in found}
    return sorted(
        layer.removesuffix(".")
        for full, layer in siblings.items()
        if any(name.startswith(re.sub(r"\d+\.$", "0.", full)) for name in names)
        and not any(name.startswith(full) for name in names)
    )
