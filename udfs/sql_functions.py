"""Functions for SQL: the students that are in force, asked about any text, in any session."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pyarrow as pa

from models.errors import DataError
from models.serving.engine import EngineKind
from models.text.rules import CleaningSettings
from udfs.build import build, check
from udfs.cleaning import cleaner_of
from udfs.list_arrays import FLOAT_LIST, to_lists
from udfs.student_scoring import Served, engine_of, keep_open


def student_probs(
    students: Mapping[str, Served], cleaning: CleaningSettings, kind: EngineKind = "auto"
) -> Callable[..., pa.Array]:
    """An Arrow function (task, raw text) -> probabilities, in the order of the labels of the task's student in force.

    Of a task of pairs the second text is a third argument; other tasks do not read it.

    The whole cleaner runs first: for a text of the tables the answer is that of `student_scores`. Rules settle nothing
    here, so a text that has no scores because a rule settled it is answered too. A null task or text gives null.

    Raises:
        DataError: in the function, for a task without a student in force; the message names those that have one. Or
            for a task of pairs without second texts.
        EnvError: in the function, where the executor runs another build than the driver.
    """
    wanted, settings_json, served = build(), cleaning.model_dump_json(), dict(students)

    def probs(task: pa.Array, text: pa.Array, *text_b: pa.Array) -> pa.Array:
        check(wanted)
        keep_open(list(served.values()))
        cleaner = cleaner_of(settings_json)
        clean, *others = [
            pa.array([None if one is None else cleaner.clean(one) for one in column.to_pylist()], pa.string())
            for column in (text, *text_b)
        ]
        tasks = np.array(task.to_pylist(), dtype=object)
        parts, places = [pa.nulls(1, FLOAT_LIST)], np.zeros(len(tasks), np.int64)
        for name in sorted({one for one in tasks if one is not None}):
            if name not in served:
                known = ", ".join(sorted(served)) or "none"
                raise DataError(f"student_probs: no student in force for task {name!r}; there is one for: {known}")
            rows = np.flatnonzero(tasks == name)
            engine = engine_of(served[name], kind)
            second = others[0].take(pa.array(rows)) if others else None
            own = engine.read(clean.take(pa.array(rows)), second)
            places[rows] = sum(map(len, parts)) + np.arange(len(rows))
            parts.append(to_lists(engine.probabilities(own), own.is_null().to_numpy(zero_copy_only=False)))
        return pa.concat_arrays(parts).take(pa.array(places))

    return probs
