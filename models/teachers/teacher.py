"""Teachers: fine-tuned transformers that answer several yes-or-no questions about a text.

Weights are read from safetensors files only, and no code that comes with a model is ever run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import AdamW

from models import digests
from models.bundle import publish
from models.errors import BundleError, DataError, SettingsError
from models.outcomes import logits_of
from models.tasks import TaskKind, TeacherSettings
from models.teachers.hub import expect_safetensors, load, load_base, save
from models.teachers.tokens import Tokens, forward, tokenise
from models.training.batching import length_batches, ramp
from models.training.devices import device, reproducible
from models.training.losses import hard_loss
from models.vocabulary import Encoded

Progress: TypeAlias = Callable[[int, int, float], None]
PROJECTION_VERSION = "gaussian-1"
WEIGHT_DECAY = 0.01


@dataclass(frozen=True)
class Teacher:
    """A fine-tuned transformer with its tokenizer.

    Attributes:
        labels: Label names, in the order of the logits.
        max_tokens: Longer texts are cut to this many tokens.
    """

    labels: tuple[str, ...]
    max_tokens: int
    model: Any
    tokenizer: Any

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Read a teacher that `save` wrote.

        Raises:
            BundleError: The folder is missing, has no safetensors weights, or is none of ours.
        """
        expect_safetensors(folder, BundleError, "copy the teacher again or train it again")
        tokenizer, model = load(folder)
        config = model.config
        if getattr(config, "pingti_max_tokens", None) is None:
            raise BundleError(f"{folder}: config.json lacks pingti_max_tokens, expected a teacher trained here")
        labels = tuple(config.id2label[at] for at in range(config.num_labels))
        return cls(labels, config.pingti_max_tokens, model.to(device()).eval(), tokenizer)

    def save(self, folder: Path) -> Path:
        """Write config.json, model.safetensors and the tokenizer; the folder appears whole or not at all.

        Raises:
            BundleError: `folder` exists with other content.
        """
        return publish(folder, lambda staging: save(self.model, self.tokenizer, staging))

    @property
    def digest(self) -> str:
        """SHA-256 of weights, labels and tokenizer, 64 hex digits: equal teachers have equal digests."""
        weights = {
            name: digests.of_bytes(tensor.detach().cpu().contiguous().numpy().tobytes())
            for name, tensor in self.model.state_dict().items()
        }
        vocabulary = self.tokenizer.get_vocab()
        return digests.of_json({"weights": weights, "labels": self.labels, "vocabulary": vocabulary})

    def score(
        self, texts: Sequence[str], *, second: Sequence[str] | None = None, batch: int = 64
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Logits and [CLS] states of some texts.

        Batches are consecutive slices of the texts as given, never re-ordered: the same texts in the same
        order and batch size give the same bits. Callers that sort by length first save the padding.

        Args:
            texts: Clean texts, no nulls.
            second: Of pairs, the second texts, no nulls; None of single texts.
            batch: Texts per forward pass.

        Returns:
            Logits (texts, labels) and the last hidden state at position 0 (texts, hidden), both float32.
        """
        tokens = tokenise(self.tokenizer, texts, self.max_tokens, second)
        logits = np.empty((len(texts), len(self.labels)), np.float32)
        states = np.empty((len(texts), self.model.config.hidden_size), np.float32)
        self.model.eval()
        with torch.inference_mode():
            for start in range(0, len(texts), batch):
                rows = np.arange(start, min(start + batch, len(texts)))
                answer = forward(self.model, self.tokenizer, tokens, rows, output_hidden_states=True)
                logits[rows] = answer.logits.float().cpu().numpy()
                states[rows] = answer.hidden_states[-1][:, 0].float().cpu().numpy()
        return logits, states


@dataclass(frozen=True)
class Lesson:
    """What a teacher learns from.

    Attributes:
        texts: Clean texts.
        targets: (texts, labels), 0 to 1, read where `mask` is True.
        mask: (texts, labels) bool, True where the answer is known.
        labels: Label names, in the order of the columns.
        kind: The task's kind, which decides the loss.
        second: Of pairs, the second texts.
    """

    texts: Sequence[str]
    targets: NDArray[np.float32]
    mask: NDArray[np.bool_]
    labels: tuple[str, ...]
    kind: TaskKind = "multi_label"
    second: Sequence[str] | None = None

    def check(self) -> None:
        """Raise `DataError` if there are no texts, or arrays of other shapes."""
        expected = (len(self.texts), len(self.labels))
        if not len(self.texts) or self.targets.shape != expected or self.mask.shape != expected:
            raise DataError(
                f"fine-tuning: got targets {self.targets.shape} and mask {self.mask.shape} for {len(self.texts)} texts "
                f"and {len(self.labels)} labels, expected {expected} with at least one text; annotate or join again"
            )


def fine_tune(
    base: str | Path,
    lesson: Lesson,
    settings: TeacherSettings,
    *,
    seed: int,
    max_steps: int | None = None,
    progress: Progress | None = None,
    keep: Callable[[Teacher], None] | None = None,
) -> Teacher:
    """Teach a pretrained transformer some labels.

    Args:
        base: A local Hugging Face folder, or the name of a model on the hub.
        lesson: Texts and answers.
        settings: Schedule and longest text.
        seed: For the new last layer, the order and the dropout.
        max_steps: Stop after so many batches; None for all epochs.
        progress: Called after each batch with rows done, rows in total and the batch's loss.
        keep: Called with the teacher as it is on its way, `settings.checkpoints` times at equal distances.

    Raises:
        DataError: There are no texts, or arrays of other shapes.
        SettingsError: `base` has no safetensors weights, or is no model.
        EnvError: The hub cannot be reached or does not have it.
    """
    with reproducible(seed):
        learner = Learner.of(base, lesson, settings)
        plan = _plan(learner.tokens.encoded, settings, seed, max_steps)
        _FineTuning(learner, lesson, settings).run(plan, progress, keep)
    return learner.teacher()


class Learner:
    """A transformer that learns: by itself (`fine_tune`), or beside a student in a joint scheme.

    Attributes:
        module: The network.
        learning_rate: Of its own steps.
        batch: Rows of each of these.
        epochs: How often it goes through its texts.
        tokens: Its texts.
    """

    def __init__(
        self, module: Any, tokenizer: Any, tokens: Tokens, lesson: Lesson, settings: TeacherSettings, layer: int
    ) -> None:
        self.module = module
        self.learning_rate, self.batch, self.epochs = settings.learning_rate, settings.batch, settings.epochs
        self.tokens = tokens
        self._tokenizer = tokenizer
        self._labels = lesson.labels
        self._layer = layer

    @classmethod
    def of(cls, base: str | Path, lesson: Lesson, settings: TeacherSettings, layer: int = -1) -> Self:
        """A base with a new last layer that answers with each label's frequency; `layer` is whose [CLS] it tells.

        Raises: what `fine_tune` raises; `SettingsError` for a layer that the base does not have.
        """
        lesson.check()
        tokenizer, model = load_base(base, lesson.labels, lesson.kind)
        depth = getattr(model.config, "num_hidden_layers", 0)
        if not -depth - 1 <= layer <= depth:
            raise SettingsError(f"student.hint_layer: got {layer}, {base} has {depth} layers")
        _start_at_base_rates(model, lesson)
        limit = min(settings.max_tokens, getattr(model.config, "max_position_embeddings", settings.max_tokens))
        model.config.pingti_max_tokens = limit
        tokens = tokenise(tokenizer, lesson.texts, limit, lesson.second)
        return cls(model.to(device()), tokenizer, tokens, lesson, settings, layer)

    @property
    def digest(self) -> str:
        """SHA-256 of its weights as they are now, its texts and its schedule, 64 hex digits."""
        texts = [digests.of_bytes(part.tobytes()) for part in (self.tokens.encoded.ids, self.tokens.encoded.offsets)]
        return digests.of_json([self.teacher().digest, texts, self.learning_rate, self.batch, self.epochs, self._layer])

    @property
    def state_width(self) -> int:
        """Width of the [CLS] states."""
        return int(self.module.config.hidden_size)

    def answer(self, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Logits (rows, labels) and the layer's [CLS] states (rows, width) of some of its texts."""
        answer = forward(self.module, self._tokenizer, self.tokens, rows, output_hidden_states=True)
        return answer.logits.float(), answer.hidden_states[self._layer][:, 0].float()

    def teacher(self) -> Teacher:
        """The teacher as it is now; it shares its numbers with this one."""
        return Teacher(self._labels, self.module.config.pingti_max_tokens, self.module.eval(), self._tokenizer)


def project(states: NDArray[np.float32], width: int, seed: int) -> NDArray[np.float32]:
    """Shorten [CLS] states by a random projection that keeps distances in expectation.

    Gaussian entries of variance 1 / width (Johnson and Lindenstrauss 1984; Dasgupta and Gupta 2003). Computed
    in float64, so that rounding by the number of rows disappears in float32.

    Args:
        states: (rows, hidden).
        width: Columns of the result.
        seed: Projections are comparable only with equal seed, hidden size, width and PROJECTION_VERSION.

    Returns:
        (rows, width) float32.
    """
    matrix = np.random.default_rng(seed).standard_normal((states.shape[1], width)) / np.sqrt(width)
    projected: NDArray[np.float32] = (states.astype(np.float64) @ matrix).astype(np.float32)
    return projected


class _FineTuning:
    """The fine-tuning loop's state."""

    def __init__(self, learner: Learner, lesson: Lesson, settings: TeacherSettings) -> None:
        self.learner = learner
        self.kind: TaskKind = lesson.kind
        self.targets = torch.from_numpy(lesson.targets.astype(np.float32)).to(learner.module.device)
        self.mask = torch.from_numpy(lesson.mask).to(learner.module.device)
        self.rate = settings.learning_rate
        self.stations = settings.checkpoints
        self.optimiser = AdamW(learner.module.parameters(), lr=self.rate, weight_decay=WEIGHT_DECAY, fused=True)

    def run(
        self, plan: list[NDArray[np.int64]], progress: Progress | None, keep: Callable[[Teacher], None] | None
    ) -> None:
        """Train through the planned batches."""
        self.learner.module.train()
        total, done = sum(map(len, plan)), 0
        stations = {len(plan) * nth // (self.stations + 1) for nth in range(1, self.stations + 1)}
        for step, rows in enumerate(plan):
            if keep is not None and step in stations:
                keep(self.learner.teacher())
                self.learner.module.train()
            self.optimiser.param_groups[0]["lr"] = self.rate * ramp((step + 0.5) / len(plan))
            loss = self._step(rows)
            done += len(rows)
            if progress is not None:
                progress(done, total, loss)

    def _step(self, rows: NDArray[np.int64]) -> float:
        self.optimiser.zero_grad(set_to_none=True)
        chosen = torch.from_numpy(rows).to(self.targets.device)
        logits, _ = self.learner.answer(rows)
        loss = hard_loss(logits, self.targets[chosen], self.mask[chosen], kind=self.kind)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.learner.module.parameters(), 1.0)
        self.optimiser.step()
        return float(loss.detach())


def _plan(encoded: Encoded, settings: TeacherSettings, seed: int, max_steps: int | None) -> list[NDArray[np.int64]]:
    random = np.random.default_rng(seed)
    lengths = encoded.lengths
    epochs = [length_batches(lengths, settings.batch, random) for _ in range(settings.epochs)]
    return [batch for epoch in epochs for batch in epoch][:max_steps]


def _start_at_base_rates(model: Any, lesson: Lesson) -> None:
    """Let the new last layer answer with each label's frequency, as the students' does: most are rare."""
    head = getattr(model, "classifier", None)
    if isinstance(head, nn.Linear) and head.bias is not None:
        rates = (np.where(lesson.mask, lesson.targets, 0).sum(0) + 1) / (lesson.mask.sum(0) + 2)
        with torch.no_grad():
            head.bias.copy_(torch.from_numpy(logits_of(rates, lesson.kind)))
