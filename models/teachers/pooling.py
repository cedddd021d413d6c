"""One state a text, of a transformer's states of its tokens, and the logits that a classifier reads from it.

`cls` is what a model's class does by itself: the first token's state, through a pooler or a dense layer that was
pretrained with it (Devlin et al. 2019). `mean` is the mean over the text's tokens, as sentence encoders have it
(Reimers and Gurevych 2019, arXiv:1908.10084), past the pooler: the better choice where a pooler would begin untrained.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias, cast

import torch
from torch import Tensor, nn

from models.errors import SettingsError
from models.training.devices import half_precision

Pooling: TypeAlias = Literal["cls", "mean"]


def pooling_of(config: Any) -> Pooling:
    """How a model of ours pools; one that was saved before it was a choice reads its first token."""
    return cast("Pooling", getattr(config, "pingti_pooling", "cls"))


def set_pooling(model: Any, pooling: Pooling, source: object) -> None:
    """Let a model pool so from now on; saved with its config.json.

    Raises:
        SettingsError: Its class has no `classifier` that could read a mean.
    """
    if pooling == "mean" and not isinstance(getattr(model, "classifier", None), nn.Module):
        raise SettingsError(
            f"teacher.pooling: mean: {source} is a {type(model).__name__}, whose last layer reads the states of tokens "
            "in a way of its own, expected a BERT, RoBERTa, ALBERT, ERNIE or the like; set cls"
        )
    model.config.pingti_pooling = pooling


def last_layer(model: Any) -> nn.Linear:
    """The layer of a classifier that gives its logits."""
    *_, layer = (module for module in model.modules() if isinstance(module, nn.Linear))
    return layer


def mean_of(states: Tensor, attention: Tensor) -> Tensor:
    """The mean over a text's tokens: states (rows, length, width) and a mask (rows, length) to (rows, width)."""
    weights = attention.to(states.dtype)[..., None]
    return (states * weights).sum(1) / weights.sum(1).clamp_min(1.0)


def logits_and_states(model: Any, inputs: Mapping[str, Tensor], layer: int = -1) -> tuple[Tensor, Tensor]:
    """One batch through the model.

    Args:
        model: A classifier of Transformers.
        inputs: What its class reads; `attention_mask` among it.
        layer: Of which layer's states the pooled one is; -1 is the last.

    Returns:
        Logits (rows, labels), and the pooled state of the layer (rows, width): the first token's, or the mean. Both
        float32.
    """
    mean, attention = pooling_of(model.config) == "mean", inputs["attention_mask"]
    with half_precision(attention.device):
        if not mean:
            output = model(**inputs, output_hidden_states=True)
            return output.logits.float(), output.hidden_states[layer][:, 0].float()
        output = model.base_model(**inputs, output_hidden_states=layer != -1)
        pooled = mean_of(output.last_hidden_state, attention)
        logits = _last_layers(model, pooled)
    return logits.float(), (pooled if layer == -1 else mean_of(output.hidden_states[layer], attention)).float()


def _last_layers(model: Any, pooled: Tensor) -> Tensor:
    """The logits of pooled states (rows, width), by the model's own dropout and last layers."""
    if isinstance(model.classifier, nn.Linear):
        dropout = getattr(model, "dropout", None)
        return cast("Tensor", model.classifier(dropout(pooled) if isinstance(dropout, nn.Dropout) else pooled))
    return cast("Tensor", model.classifier(pooled[:, None]))  # a head of RoBERTa's kind reads the first of the states


def parameters_read(model: Any) -> list[torch.nn.Parameter]:
    """The parameters that the logits depend on: a pooler that is passed by has none of them."""
    unread = {id(one) for one in _pooler(model).parameters()} if pooling_of(model.config) == "mean" else set()
    return [one for one in model.parameters() if id(one) not in unread]


def _pooler(model: Any) -> nn.Module:
    pooler = getattr(model.base_model, "pooler", None)
    return pooler if isinstance(pooler, nn.Module) else nn.Identity()
