"""Losses of a student: each label a yes-or-no question of its own, or one class among the labels of a row.

All take logits, targets and a mask of the same shape (rows, labels) and give the mean over what the mask
keeps, as a scalar. What the mask drops may hold anything, NaN included; where it keeps nothing, the loss and
its gradient are 0.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from models.tasks import TaskKind

_OUT_OF_QUESTION = -1e4  # of a class that the mask drops: no share, and no infinity that would make its gradient NaN


def soft_loss(
    student: Tensor,
    teacher: Tensor,
    mask: Tensor,
    *,
    temperature: float,
    weight: Tensor | None = None,
    kind: TaskKind = "multi_label",
    scale: Tensor | None = None,
) -> Tensor:
    """KL(teacher || student) of each label's two outcomes, or of a row's classes, at a temperature.

    Times temperature², so that its gradient keeps its size beside the hard term when the temperature changes
    (Hinton et al. 2015, "Distilling the Knowledge in a Neural Network", section 2).

    Args:
        student: Logits (rows, labels).
        teacher: Logits (rows, labels); they get a gradient too, unless they are detached.
        mask: bool (rows, labels), True where the teacher has a logit.
        temperature: Divides both logits; above 1 the unlikely outcomes weigh more.
        weight: Row weights (rows,), None for equal ones.
        kind: The task's kind. Of classes only those in the mask compete: a teacher that does not know one says
            nothing of it, and the mean is over the rows with two or more.
        scale: Multiplies each label's loss (rows, labels), of classes each row's (rows, 1); the mean is over as many
            as without it.
    """
    s = student / temperature
    t = torch.where(mask, teacher, 0.0) / temperature
    if kind == "multi_class":
        wanted, got = _class_log_shares(t, mask), _class_log_shares(s, mask)
        between = torch.where(mask, wanted.exp() * (wanted - got), 0.0).sum(1, keepdim=True)
        compared = mask.sum(1, keepdim=True) > 1
        return _masked_mean(between.clamp_min(0.0), compared, weight, scale) * temperature**2
    # KL of two Bernoullis in their logits is a Bregman divergence of softplus: no logarithm of a tiny number.
    divergence = F.softplus(s) - F.softplus(t) - torch.sigmoid(t) * (s - t)
    # Rounding alone can bring equal logits below zero.
    return _masked_mean(divergence.clamp_min(0.0), mask, weight, scale) * temperature**2


def hard_loss(
    logits: Tensor,
    targets: Tensor,
    mask: Tensor,
    weight: Tensor | None = None,
    kind: TaskKind = "multi_label",
    scale: Tensor | None = None,
    silent: Tensor | None = None,
) -> Tensor:
    """Cross-entropy against hard targets: binary for each label, or over a row's classes.

    Args:
        logits: (rows, labels).
        targets: (rows, labels), 0 to 1.
        mask: bool (rows, labels), True where the target is known.
        weight: Row weights (rows,), None for equal ones.
        kind: The task's kind. Of classes, a row counts where one of the known ones holds.
        scale: As in `soft_loss`.
        silent: (rows,) bool, True where what is not known counts in the mean all the same, as a loss of 0: beside such
            rows the others weigh no more than in a batch of their own kind.
    """
    known = torch.where(mask, targets, 0.0)
    if kind == "multi_class":
        surprise = -(known * _class_log_shares(logits, mask)).sum(1, keepdim=True)
        holds = known.sum(1, keepdim=True) > 0
        return _masked_mean(surprise, holds, weight, scale, None if silent is None else holds | silent[:, None])
    losses = F.binary_cross_entropy_with_logits(logits, known, reduction="none")
    return _masked_mean(losses, mask, weight, scale, None if silent is None else mask | silent[:, None])


def distil_loss(
    logits: Tensor,
    *,
    hard: Tensor,
    hard_mask: Tensor,
    soft: Tensor,
    soft_mask: Tensor,
    weight: Tensor | None,
    temperature: float,
    soft_weight: float,
    kind: TaskKind = "multi_label",
    trust: Tensor | None = None,
    by_teacher: Tensor | None = None,
) -> Tensor:
    """`soft_weight` times the soft loss plus the rest times the hard loss, each a mean of its own.

    Args:
        logits: The student's (rows, labels).
        hard: Hard targets (rows, labels).
        hard_mask: bool, where they are known.
        soft: The teacher's logits (rows, labels).
        soft_mask: bool, where it has some.
        weight: Row weights (rows,), None for equal ones.
        temperature: Of the soft loss.
        soft_weight: The soft loss' share.
        kind: The task's kind.
        trust: (labels,) 0 to 1: how far the teacher teaches a label; None: all the way. It multiplies the soft loss'
            share, the hard one has the rest; with 0 a label learns as it would without the teacher. Of classes a row's
            trust is that of the classes which the teacher finds in it, by its probabilities.
        by_teacher: (rows,) bool, True where the hard targets are the teacher's decisions: trust multiplies these too.
    """
    if trust is None:
        from_teacher = soft_loss(logits, soft, soft_mask, temperature=temperature, weight=weight, kind=kind)
        from_labels = hard_loss(logits, hard, hard_mask, weight, kind)
        return soft_weight * from_teacher + (1 - soft_weight) * from_labels
    own = trust[None, :]
    if kind == "multi_class":
        own = (_class_log_shares(torch.where(soft_mask, soft, 0.0), soft_mask).exp() * own).sum(1, keepdim=True)
    of_labels = 1 - soft_weight * own
    if by_teacher is not None:
        of_labels = of_labels * torch.where(by_teacher[:, None], own, 1.0)
    from_teacher = soft_loss(logits, soft, soft_mask, temperature=temperature, weight=weight, kind=kind, scale=own)
    from_labels = hard_loss(logits, hard, hard_mask, weight, kind, scale=of_labels, silent=by_teacher)
    return soft_weight * from_teacher + from_labels


def hint_loss(predicted: Tensor, cls_states: Tensor, weight: Tensor) -> Tensor:
    """The mean squared error between the teacher's [CLS] states and their prediction from a student's features.

    Args:
        predicted: (rows, width).
        cls_states: (rows, width); a row with NaN has none, and does not count.
        weight: Row weights (rows,).
    """
    mask = ~torch.isnan(cls_states)
    return _masked_mean((predicted - torch.where(mask, cls_states, 0.0)) ** 2, mask, weight)


def _class_log_shares(logits: Tensor, mask: Tensor) -> Tensor:
    """Log-softmax over the classes of the mask."""
    return torch.log_softmax(torch.where(mask, logits, _OUT_OF_QUESTION), dim=1)


def _masked_mean(
    values: Tensor,
    mask: Tensor,
    weight: Tensor | None,
    scale: Tensor | None = None,
    counted: Tensor | None = None,
) -> Tensor:
    """The weighted mean of what the mask keeps, each value times its scale; 0 if it keeps nothing.

    What is `counted` beyond the mask counts as a value of 0.
    """
    share = (mask if counted is None else counted).to(values.dtype)
    if weight is not None:
        share = share * weight[:, None]
    total = share.sum()
    # torch.where, not a product: 0 * inf would be NaN.
    kept = torch.where(mask, values if scale is None else values * scale, 0.0)
    return (kept * share).sum() / torch.where(total > 0, total, 1.0)
