"""How far the teacher teaches a label: all the way, in part, or not at all, which is learning without it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from models.tasks import TaskKind
from models.training.losses import distil_loss, hard_loss

KINDS: tuple[TaskKind, ...] = ("multi_label", "multi_class")


def batch(kind: TaskKind, rows: int = 6) -> dict[str, Any]:
    torch.manual_seed(3)
    mask = torch.ones(rows, 3, dtype=torch.bool)
    hard = torch.eye(3)[torch.arange(rows) % 3] if kind == "multi_class" else (torch.rand(rows, 3) > 0.5).float()
    return {
        "logits": torch.randn(rows, 3), "hard": hard, "hard_mask": mask, "soft": torch.randn(rows, 3),
        "soft_mask": mask, "weight": torch.rand(rows) + 0.5, "temperature": 1.0, "soft_weight": 0.7, "kind": kind,
    }  # fmt: skip


def loss(given: dict[str, Any], **changes: Any) -> Tensor:
    values = given | changes
    return distil_loss(values.pop("logits"), **values)


@pytest.mark.parametrize("kind", KINDS)
def test_full_trust_is_the_plain_loss(kind: TaskKind) -> None:
    given = batch(kind)
    by_teacher = torch.tensor([True, False] * 3)
    assert loss(given, trust=torch.ones(3), by_teacher=by_teacher).item() == pytest.approx(loss(given).item(), rel=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_without_trust_annotated_rows_teach_as_without_the_teacher(kind: TaskKind) -> None:
    given = batch(kind)
    wanted = hard_loss(given["logits"], given["hard"], given["hard_mask"], given["weight"], kind)
    assert loss(given, trust=torch.zeros(3)).item() == pytest.approx(wanted.item(), rel=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_without_trust_the_teachers_rows_teach_nothing(kind: TaskKind) -> None:
    given = batch(kind)
    given["logits"].requires_grad_()
    by_teacher = torch.tensor([True, False] * 3)
    loss(given, trust=torch.zeros(3), by_teacher=by_teacher).backward()
    gradient = given["logits"].grad
    assert (gradient[by_teacher] == 0).all()
    assert (gradient[~by_teacher] != 0).any(1).all()


def test_labels_are_trusted_one_by_one() -> None:
    given = batch("multi_label")
    given["logits"].requires_grad_()
    loss(given, trust=torch.tensor([1.0, 0.0, 0.5]), by_teacher=torch.ones(6, dtype=torch.bool)).backward()
    mixed = given["logits"].grad.clone()
    given["logits"].grad = None
    loss(given).backward()
    assert torch.allclose(mixed[:, 0], given["logits"].grad[:, 0])
    assert (mixed[:, 1] == 0).all()
    assert (mixed[:, 2].abs() > 0).all()


def test_a_row_is_trusted_as_the_class_that_the_teacher_finds_in_it() -> None:
    given = batch("multi_class")
    given["soft"] = torch.tensor([[20.0, 0, 0], [0, 20.0, 0]] * 3)
    given["hard"] = torch.tensor([[1.0, 0, 0], [0, 1.0, 0]] * 3)
    given["logits"].requires_grad_()
    loss(given, trust=torch.tensor([0.0, 1.0, 1.0]), by_teacher=torch.ones(6, dtype=torch.bool)).backward()
    gradient = given["logits"].grad
    assert gradient[::2].abs().max() < 1e-6
    assert (gradient[1::2].abs().sum(1) > 1e-3).all()


@pytest.mark.parametrize("kind", KINDS)
def test_annotated_rows_weigh_no_more_beside_rows_that_say_nothing(kind: TaskKind) -> None:
    """Half of a batch are the teacher's, masked where it is not trusted: the others' gradient is as in half a batch."""
    given = batch(kind)
    given["weight"] = None
    by_teacher = torch.tensor([False] * 3 + [True] * 3)
    given["hard_mask"] = given["hard_mask"] & ~by_teacher[:, None]
    given["logits"].requires_grad_()
    loss(given, trust=torch.zeros(3), by_teacher=by_teacher).backward()
    own = given["logits"].detach()[:3].clone().requires_grad_()
    hard_loss(own, given["hard"][:3], torch.ones(3, 3, dtype=torch.bool), kind=kind).backward()
    assert torch.allclose(given["logits"].grad[:3], own.grad / 2)
    assert (given["logits"].grad[3:] == 0).all()
