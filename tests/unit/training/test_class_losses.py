"""Losses over classes: what they must be whatever the numbers."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from models.training.losses import hard_loss, soft_loss

ROWS = st.lists(st.lists(st.floats(-30, 30, width=32), min_size=3, max_size=3), min_size=1, max_size=5)


def soft(student: Tensor, teacher: Tensor, mask: Tensor | None = None, temperature: float = 2.0) -> Tensor:
    mask = torch.ones_like(student, dtype=torch.bool) if mask is None else mask
    return soft_loss(student, teacher, mask, temperature=temperature, kind="multi_class")


@given(ROWS, st.floats(0.5, 8))
@settings(deadline=None)
def test_it_is_the_divergence_of_two_softmaxes_and_never_negative(rows: list[list[float]], temperature: float) -> None:
    teacher = torch.tensor(rows, dtype=torch.float64)
    student = teacher.flip(1)
    log_t, log_s = (F.log_softmax(one / temperature, dim=1) for one in (teacher, student))
    wanted = F.kl_div(log_s, log_t, reduction="batchmean", log_target=True) * temperature**2
    got = soft(student, teacher, temperature=temperature)
    assert got.item() == pytest.approx(wanted.item(), rel=1e-6, abs=1e-9)
    assert got.item() >= 0
    assert soft(teacher, teacher.clone()).item() < 1e-12


@given(ROWS, st.floats(-20, 20))
@settings(deadline=None)
def test_what_is_added_to_a_whole_row_changes_nothing(rows: list[list[float]], more: float) -> None:
    teacher = torch.tensor(rows, dtype=torch.float64)
    student = teacher.flip(1)
    assert soft(student + more, teacher - more).item() == pytest.approx(soft(student, teacher).item(), abs=1e-9)


def test_a_class_that_the_teacher_does_not_know_is_left_alone() -> None:
    student = torch.tensor([[0.3, -0.2, 9.0]], requires_grad=True)
    teacher, mask = torch.tensor([[1.0, 0.0, float("nan")]]), torch.tensor([[True, True, False]])
    loss = soft(student, teacher, mask)
    loss.backward()
    assert student.grad is not None
    assert student.grad[0, 2] == 0
    assert loss.item() == pytest.approx(soft(student[:, :2].detach(), teacher[:, :2]).item(), rel=1e-5)


def test_rows_without_a_known_answer_have_no_loss_and_no_gradient() -> None:
    student = torch.tensor([[0.3, -0.2], [1.0, 2.0]], requires_grad=True)
    mask = torch.tensor([[True, True], [False, False]])
    nan = float("nan")
    loss = soft(student, torch.tensor([[1.0, 0.0], [nan, nan]]), mask)
    loss = loss + hard_loss(student, torch.tensor([[0.0, 1.0], [nan, nan]]), mask, kind="multi_class")
    loss.backward()
    assert student.grad is not None
    assert torch.isfinite(loss)
    assert student.grad[1].tolist() == [0, 0]
    assert (student.grad[0] != 0).all()


def test_hard_loss_is_cross_entropy_weighted_by_row() -> None:
    logits = torch.tensor([[0.1, 2.0, -1.0], [1.5, 0.0, 0.3]])
    targets, mask = torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]), torch.ones(2, 3, dtype=torch.bool)
    each = F.cross_entropy(logits, torch.tensor([1, 0]), reduction="none")
    assert hard_loss(logits, targets, mask, kind="multi_class").item() == pytest.approx(each.mean().item())
    weighted = hard_loss(logits, targets, mask, torch.tensor([3.0, 1.0]), kind="multi_class")
    assert weighted.item() == pytest.approx(((3 * each[0] + each[1]) / 4).item())
