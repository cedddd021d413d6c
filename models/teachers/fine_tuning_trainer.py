"""Transformers' `Trainer` over length-sorted batches with masked targets: what `fine_tuning` runs."""

from __future__ import annotations

import json
import logging
import random
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from transformers import EarlyStoppingCallback, PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from models.evaluation.metrics import average_precision, count
from models.evaluation.predictions import first_threshold, keep_argmax, probabilities
from models.tasks import TaskKind, TeacherSettings
from models.teachers.calibration import start_of
from models.teachers.fine_tuning_rows import FineTuningRows
from models.teachers.huggingface import quiet
from models.teachers.pooling import logits_and_states, parameters_read
from models.teachers.tokenisation import Tokens, inputs_of, on_device
from models.training.losses import hard_loss

Batches: TypeAlias = Sequence[NDArray[np.int64]]
WEIGHT_DECAY, MAX_GRADIENT, WARM_UP = 0.01, 1.0, 0.1
EVALUATIONS = 20
"""How often the rows kept back judge a fine-tuning of full length."""
GAIN = "gain"
LEAST_GAIN = 1e-3
"""What is less does not count as one."""
_STATE = "trainer_state.json"  # the last file of a checkpoint that Transformers writes


class LogitsOf(nn.Module):
    """A classifier as a network from a batch's inputs to logits (rows, labels), pooled as its config says."""

    def __init__(self, classifier: Any) -> None:
        super().__init__()
        self.classifier = classifier
        read = {id(one) for one in parameters_read(classifier)}
        for parameter in classifier.parameters():
            parameter.requires_grad_(id(parameter) in read)  # several processes wait for each gradient of the others

    def forward(self, **inputs: Tensor) -> Tensor:
        """Logits of one batch."""
        return logits_and_states(self.classifier, inputs)[0]


class LossOf:
    """The loss of masked targets, the positives of rare labels weighed.

    Attributes:
        positive_weights: (labels,): how much more a label's positive weighs than its negative; ones of classes.
    """

    def __init__(self, rows: FineTuningRows, learnt: NDArray[np.int64], limit: float) -> None:
        self.kind: TaskKind = rows.kind
        known, targets = rows.mask[learnt], np.where(rows.mask[learnt], rows.targets[learnt], 0)
        positives = targets.sum(0)
        # The square root: the full ratio would let a handful of positives drown all else.
        ratio = np.sqrt((known.sum(0) - positives + 1) / (positives + 1))
        weights = np.ones(len(rows.labels)) if rows.kind == "multi_class" else np.clip(ratio, 1, limit)
        self.positive_weights: NDArray[np.float32] = weights.astype(np.float32)

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The loss of logits (rows, labels) against targets of the same shape, NaN where nothing is known."""
        mask = ~torch.isnan(targets)
        known = torch.where(mask, targets, 0.0)
        if self.kind == "multi_class":
            return hard_loss(logits, known, mask, kind=self.kind)
        weights = torch.from_numpy(self.positive_weights).to(logits.device)
        losses = nn.functional.binary_cross_entropy_with_logits(logits, known, reduction="none", pos_weight=weights)
        return torch.where(mask, losses, 0.0).sum() / mask.sum().clamp_min(1)


class FineTuningTrainer(Trainer):  # type: ignore[misc]
    """The loop: batches as planned, the loss above, and the rows kept back as the judge.

    Attributes:
        last_loss: Of the newest batch.
    """

    def __init__(
        self, network: LogitsOf, tokenizer: Any, tokens: Tokens, rows: FineTuningRows, loss: LossOf, plan: Batches,
        held: NDArray[np.int64], arguments: TrainingArguments, callbacks: list[TrainerCallback],
    ) -> None:  # fmt: skip
        super().__init__(
            model=network, args=arguments, train_dataset=_Numbers(len(tokens)), callbacks=callbacks,
            eval_dataset=_Numbers(len(held)),
        )  # fmt: skip
        self.remove_callback(PrinterCallback)
        self.model_accepts_loss_kwargs = False
        self.last_loss = float("nan")
        self._tokenizer, self._tokens, self._rows, self._loss_of = tokenizer, tokens, rows, loss
        self._targets = torch.from_numpy(np.where(rows.mask, rows.targets, np.float32("nan")))
        self._plan, self._held = plan, held

    def get_train_dataloader(self) -> Any:
        """The planned batches, once."""
        planned = [batch.tolist() for batch in self._plan]
        return self.accelerator.prepare(
            DataLoader(_Numbers(len(self._tokens)), batch_sampler=planned, collate_fn=self._batch)
        )

    def _batch(self, rows: list[int]) -> dict[str, Tensor]:
        chosen = np.array(rows, np.int64)
        inputs = inputs_of(self._tokenizer, self.model.classifier.config, self._tokens, chosen)
        return inputs | {"targets": self._targets[chosen]}

    def compute_loss(
        self, model: Any, inputs: dict[str, Tensor], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The loss of a batch."""
        del num_items_in_batch
        targets = inputs.pop("targets")
        logits = model(**inputs)
        loss = self._loss_of(logits, targets)
        self.last_loss = float(loss.detach())
        return (loss, logits) if return_outputs else loss

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """What the rows kept back say of the network as it is."""
        logits, held = self.held_logits(), self._held
        targets, mask = (torch.from_numpy(part[held]) for part in (self._rows.targets, self._rows.mask))
        shifted = torch.from_numpy(start_of(self._loss_of.positive_weights).apply(logits))
        loss = float(hard_loss(shifted, targets, mask, kind=self._rows.kind))
        metrics = {f"eval_{GAIN}": judged(logits, self._rows, held) - LOSS_WEIGHT * loss}
        self.log(metrics)
        self.callback_handler.on_evaluate(self.args, self.state, self._control(), metrics)
        return metrics

    def _control(self) -> Any:
        return self.control

    def held_logits(self) -> NDArray[np.float32]:
        """Logits of the rows kept back, (rows, labels)."""
        network, order = self.model, np.argsort(self._tokens.encoded.lengths[self._held], kind="stable")
        logits = np.empty((len(self._held), len(self._rows.labels)), np.float32)
        network.eval()
        with torch.inference_mode():
            for start in range(0, len(order), 64):
                chosen = order[start : start + 64]
                inputs = inputs_of(self._tokenizer, network.classifier.config, self._tokens, self._held[chosen])
                logits[chosen] = network(**on_device(inputs, network.classifier.device)).cpu().numpy()
        network.train()
        return logits


LOSS_WEIGHT = 0.1
"""What the log loss counts beside average precision: of two weights that rank alike the surer ones are the better."""


def judged(logits: NDArray[np.float32], rows: FineTuningRows, held: NDArray[np.int64]) -> float:
    """One figure for how well logits tell the labels of the rows kept back, whatever the thresholds.

    The mean of the labels' average precision; of classes, where the likeliest decides, macro F1.
    """
    scores = probabilities(logits, rows.kind)
    targets, mask = rows.targets[held] >= 0.5, rows.mask[held]
    found = []
    kept = keep_argmax(scores, rows.kind) >= first_threshold(rows.kind, len(rows.labels))
    for label in range(len(rows.labels)):
        known = mask[:, label]
        if rows.kind == "multi_class":
            quality = count(kept[known, label], targets[known, label]).quality
            found.append(None if quality is None else quality.f1)
        else:
            found.append(average_precision(scores[known, label], targets[known, label]))
    told = [one for one in found if one is not None]
    return float(np.mean(told)) if told else 0.0


def arguments(
    folder: Path, settings: TeacherSettings, *, rate: float, steps: int, judge: bool, seed: int, cpu: bool
) -> TrainingArguments:
    """How the loop runs; `judge`: there are rows that are kept back."""
    every = max(steps // EVALUATIONS, 1)
    with _without_noise():
        found = TrainingArguments(
            output_dir=str(folder), max_steps=steps, per_device_train_batch_size=settings.batch, learning_rate=rate,
            lr_scheduler_type="linear", warmup_steps=int(steps * WARM_UP), weight_decay=WEIGHT_DECAY,
            max_grad_norm=MAX_GRADIENT, optim="adamw_torch_fused", seed=seed, use_cpu=cpu, report_to="none",
            disable_tqdm=True, logging_strategy="no", save_strategy="steps", save_steps=every, save_total_limit=2,
            eval_strategy="steps" if judge else "no", eval_steps=every, load_best_model_at_end=judge,
            metric_for_best_model=GAIN if judge else None, greater_is_better=True if judge else None,
            remove_unused_columns=False, log_level="error", dataloader_pin_memory=not cpu,
        )  # fmt: skip
        _ = found.device  # decides how many devices one process drives
        found._n_gpu = min(found.n_gpu, 1)  # several devices have a process each
    return found


class EarlyStopping(EarlyStoppingCallback):  # type: ignore[misc]
    """Ends the loop where the rows kept back have gained nothing for a while; never in its first half.

    While the learning rate is high, figures go up and down, and what generalises may come late.
    """

    def __init__(self, settings: TeacherSettings) -> None:
        super().__init__(early_stopping_patience=settings.patience, early_stopping_threshold=LEAST_GAIN)

    def on_evaluate(self, args: TrainingArguments, state: Any, control: Any, metrics: Any, **others: Any) -> None:
        """After the rows kept back were scored."""
        if state.global_step > args.max_steps / 2:
            super().on_evaluate(args, state, control, metrics, **others)


class OnStep(TrainerCallback):  # type: ignore[misc]
    """Calls a function after each step, with the number of steps done."""

    def __init__(self, function: Callable[[int], None]) -> None:
        self._function = function

    def on_step_end(self, args: TrainingArguments, state: Any, control: Any, **_: Any) -> None:
        """After a step."""
        del args, control
        self._function(state.global_step)


def newest_checkpoint(folder: Path) -> str | None:
    """The newest whole checkpoint that an interrupted run left; one that was cut short is none."""
    whole = [path.parent for path in folder.glob(f"checkpoint-*/{_STATE}") if _is_json(path)]
    return str(max(whole, key=lambda path: int(path.name.rpartition("-")[2]))) if whole else None


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_text("utf-8"))
    except ValueError:
        return False
    return True


def train(trainer: FineTuningTrainer, folder: Path) -> None:
    """Run the loop, from the newest checkpoint in the folder on."""
    with _without_noise():
        trainer.train(resume_from_checkpoint=newest_checkpoint(folder))


@contextmanager
def _without_noise() -> Iterator[None]:
    """None of the libraries' own reports: what the user should know is told by the caller."""
    accelerate = logging.getLogger("accelerate")
    level = accelerate.level
    accelerate.setLevel(logging.ERROR)
    try:
        with quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        accelerate.setLevel(level)


@contextmanager
def global_random_state() -> Iterator[None]:
    """`Trainer` seeds Python's and NumPy's global generators too; they are as before afterwards."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - the state that is kept is the old one's
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002 - likewise


class _Numbers(Dataset[int]):
    """Row numbers as a data set."""

    def __init__(self, rows: int) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return self._rows

    def __getitem__(self, at: int) -> int:
        return at
