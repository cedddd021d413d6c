"""Training by tables is training by convolution: the same answers, the same gradients."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from models.student_settings import TextCNNSettings
from models.students import table_convolution
from models.students.architectures import build_student
from models.students.student import Student

WIDTHS = st.lists(st.integers(1, 4), min_size=1, max_size=3, unique=True)
TEXTS = st.lists(st.lists(st.integers(0, 7), max_size=9), min_size=1, max_size=6)


def answers_and_gradients(student: Student, ids: Tensor, lengths: Tensor) -> list[Tensor]:
    """Logits, features, and every parameter's gradient of a loss that weighs each logit otherwise."""
    student.zero_grad()
    logits, features = student(ids, lengths)
    (logits * torch.linspace(-1, 2, logits.numel()).view_as(logits)).sum().backward()
    gradients = [parameter.grad.clone() for parameter in student.parameters() if parameter.grad is not None]
    return [logits.detach(), features.detach(), *gradients]


@given(WIDTHS, TEXTS, st.integers(0, 3), st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_tables_equal_the_convolution(widths: list[int], texts: list[list[int]], more: int, seed: int) -> None:
    torch.manual_seed(seed)
    kind = TextCNNSettings(embedding=3, filters=5, widths=tuple(widths), dropout=0.0)
    student = build_student(kind, 8, 2)
    longest = max(student.min_length, *map(len, texts)) + more
    ids = torch.tensor([text + [0] * (longest - len(text)) for text in texts])
    lengths = torch.tensor([len(text) for text in texts])
    folded = answers_and_gradients(student.train(), ids, lengths)
    plain = answers_and_gradients(student.eval(), ids, lengths)
    assert len(folded) == 2 + len(list(student.parameters()))
    for got, wanted in zip(folded, plain, strict=True):
        assert torch.allclose(got, wanted, atol=1e-5)


def test_only_training_takes_the_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    student = build_student(TextCNNSettings(embedding=3, filters=2, widths=(2,)), 8, 1)
    calls: list[int] = []
    monkeypatch.setattr(table_convolution, "strongest", lambda *_: calls.append(1) or torch.zeros(1, 2))
    student.eval()(torch.tensor([[1, 2]]), torch.tensor([2]))
    assert not calls
    student.train()(torch.tensor([[1, 2]]), torch.tensor([2]))
    assert calls == [1]
