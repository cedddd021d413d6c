"""A teacher's network in torch, on a CPU or a GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.teachers.batch_scoring import DoesNotFitError, Result, Runner
from models.teachers.pooling import last_layer, logits_and_states
from models.teachers.tokenisation import Tokens, inputs_of, on_device
from models.training.devices import own_precision

Precision: TypeAlias = Literal["float32", "bfloat16"]


class TorchRunner(Runner):
    """Runs a classifier where it lies.

    On a GPU a batch is copied from pinned memory and its results into pinned memory, without waiting: the next batch is
    made and queued while this one is computed. All are on one stream, in which the copies (half a megabyte a batch)
    take less than a hundredth of the time.

    Args:
        model: A classifier of Transformers. For `bfloat16` its weights are changed in place.
        tokenizer: Its tokenizer.
        precision: What it computes in; None for float32 weights with large products in bfloat16 where a GPU has it.
    """

    def __init__(self, model: Any, tokenizer: Any, precision: Precision | None = None) -> None:
        if precision == "bfloat16":
            with_half_weights(model)
        self._model, self._tokenizer, self._own = model, tokenizer, precision is not None
        self.on_gpu = model.device.type == "cuda"
        self.ahead = 2 if self.on_gpu else 1

    def start(self, tokens: Tokens, rows: NDArray[np.int64]) -> Callable[[], Result]:
        """See `Runner.start`."""
        with _memory_errors(), torch.inference_mode():
            inputs = inputs_of(self._tokenizer, self._model.config, tokens, rows)
            if self.on_gpu:
                inputs = {name: value.pin_memory() for name, value in inputs.items()}
            with own_precision() if self._own else nullcontext():
                logits, states = logits_and_states(self._model, on_device(inputs, self._model.device))
            if not self.on_gpu:
                result = logits.numpy(), states.numpy()
                return lambda: result
            return _fetched(logits, states)

    def free(self) -> None:
        """Give cached blocks back to the driver, so that other sizes fit."""
        if self.on_gpu:
            torch.cuda.empty_cache()


def with_half_weights(model: Any) -> None:
    """Let a classifier compute in bfloat16, all but its last layer, in place.

    Half of the memory traffic of products in bfloat16 between float32 layers; the last layer keeps float32, for a logit
    of 8 bits would leave steps between the thresholds.
    """
    model.to(torch.bfloat16)
    last_layer(model).float().register_forward_pre_hook(lambda _, inputs: (inputs[0].float(), *inputs[1:]))


def _fetched(logits: Tensor, states: Tensor) -> Callable[[], Result]:
    """Copies queued behind the computation; waits for them when it is called."""
    pinned = [torch.empty(value.shape, dtype=value.dtype, pin_memory=True) for value in (logits, states)]
    for target, value in zip(pinned, (logits, states), strict=True):
        target.copy_(value, non_blocking=True)
    done = torch.cuda.Event()  # type: ignore[no-untyped-call]
    done.record(torch.cuda.current_stream(logits.device))

    def wait() -> Result:
        done.synchronize()
        return pinned[0].numpy(), pinned[1].numpy()

    return wait


@contextmanager
def _memory_errors() -> Iterator[None]:
    """Torch's errors of memory as `DoesNotFitError`; on a CPU they have no class of their own."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise DoesNotFitError from error
    except RuntimeError as error:
        if "DefaultCPUAllocator" not in str(error):
            raise
        raise DoesNotFitError from error
    except MemoryError as error:
        raise DoesNotFitError from error
