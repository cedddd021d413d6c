"""Which rows a fine-tuning learns from, in which batches, and how long: schedules that grow while they gain.

A short schedule whose learning rate falls to nothing beats the best moment of a long one where labels are frequent;
where they are rare a few hundred steps teach nothing. Which it is the rows kept back tell.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.tasks import TeacherSettings
from models.training.batching import length_batches

FEWEST_HELD, MOST_HELD = 50, 2000
"""With fewer rows to keep back nothing is; more than the most would tell nothing more."""
GROWTH = 3
"""How much longer the next schedule is."""
CLEAR_GAIN = 0.02
"""What a longer schedule must gain on the rows kept back to be taken, and for a still longer one to be tried.

Less is within chance on a few hundred rows, and these are of the same draw as those that teach: a longer schedule
learns that draw by heart before it harms them. On texts of other days the longer of two equals was the worse one by 3
to 5 points of macro F1 (docs/teachers.md).
"""


def kept_back(rows: int, share: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row numbers to learn from, and to be judged by: a random share, the same for a seed. Both rising."""
    wanted = min(int(rows * share), MOST_HELD)
    order = np.random.default_rng([seed, 1]).permutation(rows)
    held = wanted if wanted >= FEWEST_HELD else 0
    return np.sort(order[held:]), np.sort(order[:held])


def schedules(rows: int, settings: TeacherSettings, *, judged: bool) -> tuple[int, ...]:
    """The epochs of each schedule, the shortest first.

    The first has `epochs`, each other three times as many steps as the one before, the last as many as `min_steps` asks
    for. Where no rows judge there is only that one.

    Args:
        rows: Rows to learn from.
        settings: How long at least.
        judged: Whether rows are kept back.
    """
    batches = -(-rows // settings.batch)
    last = max(settings.epochs, -(-settings.min_steps // max(batches, 1)))
    if not judged:
        return (last,)
    found = [settings.epochs]
    while found[-1] < last:
        grown = found[-1] * GROWTH
        found.append(grown if grown * 1.5 < last else last)  # no last step of a few epochs
    return tuple(found)


def planned_batches(
    lengths: NDArray[np.int64], learnt: NDArray[np.int64], epochs: int, batch: int, seed: int
) -> list[NDArray[np.int64]]:
    """The batches of so many epochs."""
    random = np.random.default_rng(seed)
    drawn = [length_batches(lengths[learnt], batch, random) for _ in range(epochs)]
    return [learnt[one] for epoch in drawn for one in epoch]


def chosen(scores: Sequence[float]) -> int:
    """Which of some schedules stays, the shortest first: the shortest that no longer one clearly beats."""
    best = 0
    for at, score in enumerate(scores):
        if score >= scores[best] + CLEAR_GAIN:
            best = at
    return best


def goes_on(scores: Sequence[float]) -> bool:
    """Whether a longer schedule is worth trying after these: one always is, a third where the second clearly gained."""
    return len(scores) < 2 or scores[-1] >= scores[-2] + CLEAR_GAIN
