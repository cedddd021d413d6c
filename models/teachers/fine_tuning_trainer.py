"""Transformers' `Trainer` over length-sorted batches with masked targets: what `fine_tuning` runs."""

from __future__ import annotations

import json
import logging
import os
import random
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from transformers import EarlyStoppingCallback, PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from models.tasks import TeacherSettings
from models.teachers.fine_tuning_loss import LogitsOf, LossOf, judged_with_loss
from models.teachers.fine_tuning_rows import FineTuningRows
from models.teachers.huggingface import quiet
from models.teachers.tokenisation import Tokens, inputs_of, on_device

Batches: TypeAlias = Sequence[NDArray[np.int64]]
WEIGHT_DECAY, MAX_GRADIENT, WARM_UP = 0.01, 1.0, 0.1
EVALUATIONS = 20
"""How often the rows kept back judge a fine-tuning of full length."""
GAIN = "gain"
LEAST_GAIN = 1e-3
"""What is less does not count as one."""
_STATE = "trainer_state.json"  # the last file of a checkpoint that Transformers writes


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
        weights = self._loss_of.positive_weights
        metrics = {f"eval_{GAIN}": judged_with_loss(self.held_logits(), self._rows, self._held, weights)}
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
        trainer.accelerator.wait_for_everyone()  # before the first process removes what the others still read


def processes() -> int:
    """How many processes fine-tune together, each a batch a step."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Whether this is the process that writes files."""
    return os.environ.get("RANK", "0") == "0"


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
