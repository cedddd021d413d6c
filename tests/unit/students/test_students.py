"""The contract of students: a text's answer is its own, whatever stands beside it."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from models.student_settings import TextCNNSettings, with_kind
from models.students.architectures import build_student
from models.students.student import Student
from models.students.textcnn import TextCNN

SETTINGS = TextCNNSettings(embedding=6, filters=5, widths=(2, 4), dropout=0.5)


@pytest.fixture
def student() -> Student:
    torch.manual_seed(0)
    return build_student(SETTINGS, 20, 3).eval()


def batch(rows: list[list[int]], width: int) -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
    return ids, torch.tensor([len(row) for row in rows])


ROWS = [[], [7], [3, 4, 5], [3, 4, 5, 6], [9, 8, 7, 6, 5, 4, 3], [0, 0, 0, 0, 0], [2] * 12]


def test_a_text_scores_alike_alone_and_in_company(student: Student) -> None:
    together, features = student(*batch(ROWS, 30))
    assert together.shape == (7, 3)
    assert features.shape == (7, 10)
    for at, row in enumerate(ROWS):
        alone, _ = student(*batch([row], max(len(row), 4)))
        assert torch.allclose(alone[0], together[at], atol=1e-6)


def test_what_lies_beyond_a_text_is_not_read(student: Student) -> None:
    ids, lengths = batch(ROWS, 30)
    wanted, _ = student(ids, lengths)
    rubbish = ids.clone()
    for at, row in enumerate(ROWS):
        rubbish[at, max(len(row), 4) :] = 11
    assert torch.equal(student(rubbish, lengths)[0], wanted)


def test_masked_windows_lose_even_where_all_own_windows_are_worse(student: Student) -> None:
    # With filters that only ever answer far below zero, padding would win any unmasked maximum.
    with torch.no_grad():
        for layer in student.filters:
            layer.weight.fill_(-1.0)
        student.embedding.weight.fill_(100.0)
        student.embedding.weight[0] = -100.0
        for layer in student.filters:
            layer.bias.fill_(3000.0)
    row = [5, 5, 5, 5, 5]
    alone, company = student(*batch([row], 5))[1], student(*batch([row], 20))[1]
    assert torch.equal(alone, company)


def test_it_equals_a_convolution(student: Student) -> None:
    ids, lengths = batch([[3, 4, 5, 6, 7, 8], [9, 8, 7, 6, 5, 4]], 6)
    embedded = student.embedding(ids).transpose(1, 2)
    maxima = []
    for width, layer in zip(SETTINGS.widths, student.filters, strict=True):
        kernel = layer.weight.view(SETTINGS.filters, width, SETTINGS.embedding).transpose(1, 2)
        maxima.append(F.conv1d(embedded, kernel, layer.bias).amax(2))
    features = torch.relu(torch.cat(maxima, 1))
    logits, got = student(ids, lengths)
    assert torch.allclose(got, features, atol=1e-6)
    assert torch.allclose(logits, student.head(features), atol=1e-6)


def test_the_padding_symbol_is_learnt_from_short_texts_only(student: Student) -> None:
    def gradient_of_padding(rows: list[list[int]]) -> float:
        student.zero_grad()
        student(*batch(rows, 9))[0].sum().backward()
        return float(student.embedding.weight.grad[0].abs().sum())

    with torch.no_grad():
        for layer in student.filters:
            layer.bias.fill_(5.0)  # keep every ReLU open
    assert gradient_of_padding([[7]]) > 0
    assert gradient_of_padding([[7, 8, 9, 10], [3] * 9]) == 0


def test_a_bag_is_the_sum_of_its_own_characters_and_so_is_its_gradient() -> None:
    torch.manual_seed(0)
    bag = build_student(with_kind(SETTINGS, "bow"), 20, 3).eval()
    ids, lengths = batch(ROWS, 30)
    own = torch.arange(30)[None, :] < lengths.clamp(min=1)[:, None]  # an empty text is one PAD
    sums = (bag.embedding(ids) * own[:, :, None]).sum(1)
    wanted = torch.relu(bag.layer(sums))
    found = bag.features(ids, lengths)
    assert torch.allclose(found, wanted, atol=1e-6)
    gradients = [torch.autograd.grad(one.square().sum(), bag.embedding.weight)[0] for one in (found, wanted)]
    assert gradients[1].abs().sum() > 0
    assert torch.allclose(*gradients, atol=1e-5)


def test_dropout_only_while_training(student: Student) -> None:
    ids, lengths = batch(ROWS, 12)
    assert torch.equal(student(ids, lengths)[0], student(ids, lengths)[0])
    student.train()
    assert not torch.equal(student(ids, lengths)[0], student(ids, lengths)[0])


def test_the_settings_decide_the_sizes() -> None:
    built = build_student(TextCNNSettings(widths=(3, 5), filters=7, embedding=9), 33, 4)
    assert isinstance(built, TextCNN)
    assert built.min_length == 5
    assert built.embedding.weight.shape == (33, 9)
    assert built.head.weight.shape == (4, 14)
