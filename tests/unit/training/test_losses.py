"""Losses: what they must be whatever the numbers."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from models.training.losses import distil_loss, hard_loss, soft_loss

logit = st.floats(-30, 30, width=32)
pairs = st.lists(st.tuples(logit, logit), min_size=1, max_size=8)


def column(values: list[Any]) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)[:, None]


def everywhere(like: torch.Tensor) -> torch.Tensor:
    return torch.ones_like(like, dtype=torch.bool)


@settings(deadline=None)
@given(pairs, st.floats(0.5, 8))
def test_soft_loss_is_the_divergence_of_two_bernoullis(values: list[Any], temperature: float) -> None:
    student, teacher = column([s for s, _ in values]), column([t for _, t in values])
    p, q = torch.sigmoid(teacher / temperature), torch.sigmoid(student / temperature)
    p_not, q_not = torch.sigmoid(-teacher / temperature), torch.sigmoid(-student / temperature)
    wanted = (p * (p / q).log() + p_not * (p_not / q_not).log()).mean() * temperature**2
    got = soft_loss(student, teacher, everywhere(student), temperature=temperature)
    assert got.item() == pytest.approx(wanted.item(), rel=1e-6, abs=1e-9)
    assert got.item() >= 0


@settings(deadline=None)
@given(st.lists(logit, min_size=1, max_size=8), st.floats(0.5, 8))
def test_soft_loss_is_zero_when_equal(values: list[Any], temperature: float) -> None:
    student = column(values)
    assert soft_loss(student, student.clone(), everywhere(student), temperature=temperature).item() < 1e-12


def test_soft_gradient_keeps_its_size_when_the_temperature_changes() -> None:
    def gradient(temperature: float) -> float:
        student = column([0.3, -0.4]).requires_grad_()
        soft_loss(student, column([0.5, -0.1]), everywhere(student), temperature=temperature).backward()
        assert student.grad is not None
        return float(student.grad.norm())

    # For small logits the gradient tends to (student - teacher) / 4 per label at any temperature.
    assert gradient(8.0) == pytest.approx(gradient(2.0), rel=0.05)
    assert gradient(1000.0) == pytest.approx(math.hypot(0.2, 0.3) / 4 / 2, rel=1e-3)


def test_hard_loss_is_binary_cross_entropy() -> None:
    logits, targets = torch.randn(5, 3), torch.tensor([[0.0, 1.0, 0.5]]).expand(5, 3)
    wanted = F.binary_cross_entropy_with_logits(logits, targets)
    assert torch.allclose(hard_loss(logits, targets, everywhere(logits)), wanted)


def both(
    logits: Tensor,
    hard: Tensor,
    hard_mask: Tensor,
    soft: Tensor,
    soft_mask: Tensor,
    weight: Tensor | None = None,
    soft_weight: float = 0.7,
) -> Tensor:
    return distil_loss(
        logits,
        hard=hard,
        hard_mask=hard_mask,
        soft=soft,
        soft_mask=soft_mask,
        weight=weight,
        temperature=2.0,
        soft_weight=soft_weight,
    )


@pytest.mark.parametrize("rubbish", [float("nan"), float("inf"), 1e30])
def test_masked_entries_contribute_nothing(rubbish: float) -> None:
    mask = torch.tensor([[True, False], [True, True]])
    logits = torch.tensor([[0.2, -0.3], [1.0, 0.5]])
    clean, dirty = torch.full((2, 2), 0.5), torch.tensor([[0.5, rubbish], [0.5, 0.5]])
    results = []
    for given_values in (clean, dirty):
        leaf = logits.clone().requires_grad_()
        loss = both(leaf, given_values, mask, given_values, mask)
        loss.backward()
        assert leaf.grad is not None
        assert leaf.grad[0, 1] == 0
        results.append((loss.item(), leaf.grad.tolist()))
    assert results[0] == results[1]
    kept = both(logits[mask][:, None], *[x for _ in range(2) for x in (clean[mask][:, None], mask[mask][:, None])])
    assert results[0][0] == pytest.approx(kept.item(), rel=1e-6)


def test_all_masked_gives_zero_loss_and_zero_gradient() -> None:
    logits = torch.randn(3, 2).requires_grad_()
    nothing, mask = torch.full((3, 2), float("nan")), torch.zeros(3, 2, dtype=torch.bool)
    loss = both(logits, nothing, mask, nothing, mask, weight=torch.ones(3))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert (logits.grad == 0).all()


def test_weights_are_shares_of_the_mean() -> None:
    logits, targets = torch.tensor([[0.2], [1.0], [-2.0]]), torch.tensor([[1.0], [0.0], [1.0]])
    repeated = hard_loss(logits[[0, 1, 1]], targets[[0, 1, 1]], everywhere(logits))
    weighted = hard_loss(logits, targets, everywhere(logits), torch.tensor([1.0, 2.0, 0.0]))
    assert weighted.item() == pytest.approx(repeated.item(), rel=1e-6)


def test_the_two_terms_share_by_soft_weight() -> None:
    logits, hard, soft = torch.randn(4, 2), torch.ones(4, 2), torch.randn(4, 2)
    mask = everywhere(logits)
    s, h = soft_loss(logits, soft, mask, temperature=2.0), hard_loss(logits, hard, mask)
    for share in (0.0, 0.3, 1.0):
        got = both(logits, hard, mask, soft, mask, soft_weight=share)
        assert got.item() == pytest.approx((share * s + (1 - share) * h).item(), rel=1e-6)
