"""Schemes: each solves what it must, and its gradients reach exactly the parameters that it says."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.errors import DataError
from models.scheme_settings import JOINT, SchemeBase
from models.student_settings import StudentSettings, read_student
from models.students.architectures import build_student
from models.students.student import predict
from models.text.vocabulary import Vocabulary
from models.training.joint_schemes import JointScheme, make_scheme
from models.training.trainer import TrainedStudent, train_student
from models.training.training_rows import TrainingRows

VOCABULARY = Vocabulary(tuple("abcdefghxy"))
COMMON: dict[str, Any] = {"embedding": 16, "epochs": 8, "batch": 32, "learning_rate": 1e-2, "dropout": 0.0}
SIZES: dict[str, dict[str, Any]] = {
    "textcnn": {"filters": 16, "widths": (1, 2)}, "bow": {"filters": 16}, "bilstm": {"hidden": 12},
    "bigru": {"hidden": 12},
}  # fmt: skip
OF_SCHEMES = {
    *SchemeBase.model_fields, "teachers", "curriculum", "hint_layer", "feedback_weight", "feedback_learning_rate"
}  # fmt: skip


def settings(kind: str = "textcnn", scheme: str = "offline", **changes: Any) -> StudentSettings:
    """A small student; the keys of its scheme are told from its own by their names."""
    of_scheme = {name: changes.pop(name) for name in OF_SCHEMES & changes.keys()}
    return read_student(COMMON | SIZES[kind] | changes | {"kind": kind, "scheme": {"kind": scheme} | of_scheme})


SETTINGS = settings()


def rows(count: int = 480, seed: int = 0) -> TrainingRows:
    """Label 0: the text holds x. Label 1: it holds ab. The teacher's early checkpoints took the first for granted."""
    random = np.random.default_rng(seed)
    texts = ["".join(random.choice(list("abcdefghxy"), random.integers(0, 15))) for _ in range(count)]
    truth = np.array([["x" in text, "ab" in text] for text in texts])
    logits = np.where(truth, 4.0, -4.0).astype(np.float32)
    everywhere = np.ones_like(truth)
    return TrainingRows(
        texts=VOCABULARY.encode(pa.array(texts, pa.string()), 64),
        hard=truth.astype(np.float32),
        hard_mask=everywhere,
        soft=logits,
        soft_mask=everywhere,
        weight=np.ones(count, np.float32),
        cls_states=np.repeat(logits, 3, 1),
        curriculum=np.stack([np.full_like(logits, 0.5), logits / 4], axis=1),
        by_teacher=np.arange(count) % 3 == 0,
    )


class TinyTeacher:
    """A teacher that sees the truth as two features: a network of one layer, with dropout."""

    def __init__(self, given: TrainingRows, seed: int = 3, *, dropout: float = 0.0, epochs: int = 8) -> None:
        torch.manual_seed(seed)
        self.module: nn.Module = nn.Sequential(nn.Dropout(dropout), nn.Linear(2, 2))
        self.learning_rate, self.batch, self.epochs = 2e-2, 16, epochs
        self._seen = torch.from_numpy(np.where(given.soft > 0, 1.0, -1.0).astype(np.float32))

    @property
    def digest(self) -> str:
        return f"{weights(self.module).hex()} {self.learning_rate} {self.epochs}"

    @property
    def cls_width(self) -> int:
        return 2

    def logits_and_cls(self, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        seen = self._seen[torch.from_numpy(rows)]
        return self.module(seen), seen


def weights(module: nn.Module) -> bytes:
    return b"".join(tensor.detach().numpy().tobytes() for tensor in module.state_dict().values())


def train(given: TrainingRows, teacher: TinyTeacher | None = None, *, seed: int = 1, **changes: Any) -> TrainedStudent:
    options = {
        name: changes.pop(name) for name in ("distil", "progress", "checkpoints", "max_steps") if name in changes
    }
    return train_student(
        given, settings(**changes), vocabulary_size=len(VOCABULARY), labels=2,
        seed=seed, teacher=teacher, **options,
    )  # fmt: skip


def right(student: nn.Module, given: TrainingRows) -> float:
    return float(((predict(student, given.texts) > 0) == (given.soft > 0)).mean(0).min())


SCHEMES: list[dict[str, Any]] = [
    {"scheme": "offline"},
    {"scheme": "multi_teacher"},
    *({"scheme": scheme} for scheme in JOINT),
    {"scheme": "offline", "hint_weight": 0.3},
    {"scheme": "joint_coupled", "hint_weight": 0.3},
    {"scheme": "offline", "curriculum": True},
    {"scheme": "joint_isolated", "curriculum": True},
]


@pytest.mark.parametrize("changes", SCHEMES, ids=lambda one: "+".join(map(str, one.values())))
def test_each_scheme_solves_a_tiny_problem_by_its_teacher_alone(changes: dict[str, Any]) -> None:
    given = rows()
    joint = changes["scheme"] in JOINT
    # The labels reach a joint teacher, and no student: what it knows it has from the teacher.
    own = given if joint else dataclasses.replace(given, hard=1 - given.hard)
    # In a sum the student's loss also draws the teacher to the student: there the labels have to help.
    share = 0.5 if changes["scheme"] == "joint_summed" else 1.0
    result = train(own, TinyTeacher(given) if joint else None, soft_weight=share, **changes)
    assert right(result.student, rows(300, seed=9)) > 0.93
    if not changes.get("curriculum"):  # a curriculum's epochs have different teachers
        assert result.losses[-1] < result.losses[0]


@pytest.mark.parametrize("kind", ["textcnn", "bow", "bilstm", "bigru"])
def test_each_student_learns(kind: str) -> None:
    given = rows()
    result = train(given, kind=kind, epochs=10)
    unseen = rows(300, seed=9)
    decided = predict(result.student, unseen.texts) > 0
    label = 0 if kind == "bow" else slice(None)  # a bag of characters cannot tell ab from ba
    assert (decided == (unseen.soft > 0))[:, label].mean() > 0.95


def learnt(scheme: str, **changes: Any) -> tuple[bytes, bytes]:
    """Weights of the teacher and of the student after some steps."""
    given = rows(160)
    teacher = TinyTeacher(given)
    result = train(given, teacher, scheme=scheme, epochs=2, **changes)
    return weights(teacher.module), weights(result.student)


def test_an_isolated_teacher_learns_from_the_labels_alone() -> None:
    alone = learnt("joint_isolated")
    assert alone[0] == learnt("joint_isolated", soft_weight=0.1, temperature=4.0, filters=5)[0]
    assert alone[1] != learnt("joint_isolated", soft_weight=0.1)[1]


def test_coupling_is_the_students_soft_loss_in_the_teachers_update_and_nothing_else() -> None:
    isolated, coupled = (
        learnt("joint_isolated"),
        learnt("joint_coupled", feedback_weight=4.0, feedback_learning_rate=1e-2),
    )
    assert coupled[0] != isolated[0]
    assert learnt("joint_coupled", feedback_weight=0.0, feedback_learning_rate=1e-2) == isolated


def test_feedback_of_twice_the_weight_moves_the_teacher_twice_as_far() -> None:
    given = rows(32)

    def moved(weight: float) -> NDArray[np.float32]:
        teacher = TinyTeacher(given)
        teacher.learning_rate = 1e-12  # so that the feedback alone moves it
        before = teacher.module[1].weight.detach().clone()  # type: ignore[index, union-attr, operator]
        train(given, teacher, scheme="joint_coupled", epochs=1, batch=32, feedback_weight=weight)
        difference: NDArray[np.float32] = (teacher.module[1].weight.detach() - before).numpy()  # type: ignore[index, union-attr, operator]
        return difference

    once, twice = moved(0.5), moved(1.0)
    assert np.abs(once).max() > 0
    np.testing.assert_allclose(twice, 2 * once, rtol=1e-3, atol=1e-7)


def test_a_joint_teacher_goes_through_its_own_epochs_and_batches() -> None:
    given = rows(160)
    asked: list[tuple[bool, NDArray[np.int64]]] = []

    class Noted(TinyTeacher):
        def logits_and_cls(self, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
            asked.append((self.module.training, rows))
            return super().logits_and_cls(rows)

    train(given, Noted(given, epochs=3), scheme="joint_isolated", epochs=2)
    learning = [rows for training, rows in asked if training]
    assert [len(rows) for rows in learning] == [16] * 30
    for epoch in range(3):
        assert sorted(np.concatenate(learning[10 * epoch : 10 * epoch + 10])) == list(range(160))
    # Of the student's 2 x 5 batches each comes after its share of the teacher's steps.
    assert [training for training, _ in asked[:5]] == [True, True, True, False, True]
    assert sum(not training for training, _ in asked) == 10


def test_in_a_joint_curriculum_the_teacher_is_ahead_by_an_epoch_and_stands_still() -> None:
    given = rows(160)
    order: list[bool] = []

    class Noted(TinyTeacher):
        def logits_and_cls(self, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
            order.append(self.module.training)
            return super().logits_and_cls(rows)

    train(given, Noted(given, epochs=4), scheme="joint_coupled", curriculum=True, epochs=2)
    assert order == ([True] * 20 + [False] * 5) * 2


def test_a_joint_teacher_says_nothing_of_a_label_without_answers() -> None:
    given = rows(160)
    mute = dataclasses.replace(given, hard_mask=np.array([True, False]) & given.hard_mask)
    students = [train(mute, TinyTeacher(given, seed), scheme="joint_isolated", epochs=2).student for seed in (3, 4)]
    heads = [student.head for student in students]
    assert not torch.equal(heads[0].weight[0], heads[1].weight[0])
    torch.manual_seed(1)
    untaught = build_student(SETTINGS, len(VOCABULARY), 2).head
    decay = heads[0].weight[1] / untaught.weight[1]
    assert torch.allclose(decay, decay[:1], atol=1e-4)  # the decay of all weights, and no gradient
    assert torch.equal(heads[0].weight[1], heads[1].weight[1])


def test_one_sum_moves_the_teacher_by_the_students_loss() -> None:
    assert learnt("joint_summed")[0] != learnt("joint_summed", temperature=4.0)[0]
    # Where the student asks nothing of the teacher, the sum is two losses that do not meet.
    alone = {"soft_weight": 0.0}
    assert learnt("joint_summed", **alone)[0] == learnt("joint_summed", **alone, temperature=4.0, filters=5)[0]
    assert learnt("joint_summed", **alone)[1] == learnt("joint_isolated", **alone)[1]


def gradients_of(scheme: str) -> dict[str, set[str]]:
    """Which parameters each of the scheme's steps moved, by the name of the step."""
    given = rows(64)
    teacher = TinyTeacher(given)
    torch.manual_seed(1)
    student = build_student(SETTINGS, len(VOCABULARY), 2)
    everyone = np.arange(len(given))
    found = make_scheme(
        student,
        given,
        settings(scheme=scheme),
        kind="multi_label",
        distil=True,
        teacher=teacher,
        learnt=everyone,
        steps=8,
        seed=1,
    )
    assert isinstance(found, JointScheme)
    names = {id(p): f"student.{n}" for n, p in student.named_parameters()}
    names |= {id(p): f"teacher.{n}" for n, p in teacher.module.named_parameters()}
    moved: dict[str, set[str]] = {}
    for name, group in found.groups.items():
        original = group.step

        def spy(
            gradients: Any, progress: float, name: str = name, group: Any = group, original: Any = original
        ) -> None:
            pairs = zip(group.parameters, gradients, strict=True)
            moved[name] = {names[id(p)] for p, g in pairs if g is not None and bool(g.abs().sum() > 0)}
            original(gradients, progress)

        found.groups[name] = _Spied(spy, group.parameters)  # type: ignore[assignment]
    student.train()
    found.learn(np.arange(32), 0, 0.5)
    return moved


@dataclasses.dataclass
class _Spied:
    step: Any
    parameters: Any


def test_the_gradients_reach_the_parameters_that_the_scheme_says() -> None:
    own = {"student.embedding.weight", "student.head.weight", "student.head.bias"} | {
        f"student.filters.{n}.{part}" for n in (0, 1) for part in ("weight", "bias")
    }
    teachers = {"teacher.1.weight", "teacher.1.bias"}
    assert gradients_of("joint_isolated") == {"student": own, "teacher": teachers}
    assert gradients_of("joint_coupled") == {"student": own, "teacher": teachers, "feedback": teachers}
    assert gradients_of("joint_summed") == {"student": own, "teacher": teachers}


def test_a_joint_scheme_without_a_teacher_and_hints_without_states_are_refused() -> None:
    with pytest.raises(DataError, match="joint_coupled needs a teacher"):
        train(rows(64), scheme="joint_coupled")
    with pytest.raises(DataError, match=r"no \[CLS\] states of the teacher"):
        train(dataclasses.replace(rows(64), cls_states=None), hint_weight=0.1)
    with pytest.raises(DataError, match="intermediate checkpoints"):
        train(dataclasses.replace(rows(64), curriculum=None), curriculum=True)


def test_in_a_curriculum_the_early_epochs_learn_from_the_early_teacher() -> None:
    given = rows(200)
    early = dataclasses.replace(given, soft=np.full_like(given.soft, np.nan))  # of which the first epochs read nothing
    changes: dict[str, Any] = {"curriculum": True, "epochs": 6, "soft_weight": 1.0}
    assert np.isfinite(train(early, max_steps=4 * 7, **changes).losses).all()
    with pytest.raises(DataError, match="became nan"):
        train(early, **changes)


RESUMED: list[dict[str, Any]] = [
    *SCHEMES, {"distil": False}, {"kind": "bigru"}, {"validation_share": 0.25},
    {"scheme": "joint_coupled", "validation_share": 0.25, "patience": 9},
]  # fmt: skip


@pytest.mark.parametrize("changes", RESUMED, ids=lambda one: "+".join(map(str, one.values())))
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_a_training_that_was_killed_goes_on_to_the_same_weights(
    changes: dict[str, Any], dropout: float, tmp_path: Any
) -> None:
    given = rows(200)

    class KilledError(Exception):
        pass

    def run(**options: Any) -> tuple[TrainedStudent, bytes]:
        teacher = TinyTeacher(given, dropout=dropout) if changes.get("scheme") in JOINT else None
        result = train(given, teacher, epochs=5, **{"dropout": dropout} | changes, **options)
        return result, weights(teacher.module) if teacher else b""

    def kill(done: int, _total: int, _loss: float) -> None:
        if done > 500:  # in the third or fourth epoch
            raise KilledError

    wanted, teacher_wanted = run()
    with pytest.raises(KilledError):
        run(checkpoints=tmp_path / "kept", progress=kill)
    assert (tmp_path / "kept").is_dir()
    read: list[int] = []
    got, teacher_got = run(checkpoints=tmp_path / "kept", progress=lambda done, _total, _loss: read.append(done))
    assert read[0] > 250  # it did not begin anew
    assert weights(got.student) == weights(wanted.student)
    assert (got.losses, got.validation, teacher_got) == (wanted.losses, wanted.validation, teacher_wanted)
    assert not (tmp_path / "kept").exists()


def test_the_state_of_another_training_is_left_aside(tmp_path: Any) -> None:
    given = rows(200)

    def kill(done: int, _total: int, _loss: float) -> None:
        if done > 250:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(given, checkpoints=tmp_path, progress=kill, epochs=3)
    other = dataclasses.replace(given, soft=-given.soft)
    assert weights(train(other, checkpoints=tmp_path, epochs=3).student) == weights(train(other, epochs=3).student)


def test_the_state_of_a_training_beside_another_teacher_is_left_aside(tmp_path: Any) -> None:
    given = rows(200)

    def kill(done: int, _total: int, _loss: float) -> None:
        if done > 250:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(given, TinyTeacher(given, seed=3), scheme="joint_isolated", checkpoints=tmp_path, progress=kill, epochs=3)
    teacher = TinyTeacher(given, seed=4)
    wanted = train(given, TinyTeacher(given, seed=4), scheme="joint_isolated", epochs=3)
    got = train(given, teacher, scheme="joint_isolated", checkpoints=tmp_path, epochs=3)
    assert weights(got.student) == weights(wanted.student)


def test_epochs_that_find_no_positive_are_told_apart_by_their_loss() -> None:
    given = rows(200)
    none = dataclasses.replace(given, hard=np.zeros_like(given.hard))
    changes: dict[str, Any] = {
        "distil": False,
        "validation_share": 0.3,
        "patience": 3,
        "epochs": 5,
        "learning_rate": 1e-4,
    }
    result = train(none, **changes)
    assert result.validation == (0.0,) * 5  # it went on: its loss fell
    last = train(none, **changes | {"patience": 9})
    assert weights(result.student) == weights(last.student)


def test_in_a_curriculum_nothing_stops_before_the_last_teacher_speaks() -> None:
    given = rows(200)
    result = train(
        given, curriculum=True, soft_weight=1.0, epochs=9, validation_share=0.3, patience=1, learning_rate=1e-9
    )
    assert len(result.validation) >= 7
