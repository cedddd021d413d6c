"""Names of tasks, labels and scenes as people write them: decided, replaced and asked for, shown as written."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from jobs.labels import label
from jobs.lake import tables
from jobs.lake.sql_text import identifier, literal
from jobs.lake.store import Lake
from jobs.reports import sql
from tests.support import (
    NEW_YEAR,
    add,
    context_of,
    do,
    fill,
    model_row,
    promotion_row,
    rows_of,
    score_row,
    text_row,
    threshold_row,
)

pytestmark = pytest.mark.spark

HOSTILE = ["求表扬", "a'; DROP TABLE labels; --", '`b` "c".d', "=1+1", "<b>&amp;", "x y-z.1", "a_b", "50%#?", "{k}=v,w"]


def test_hostile_names_are_names(lake: Callable[..., Lake]) -> None:
    own = lake(*tables.ALL)
    tasks: dict[str, Any] = {
        name: {"scenes": [f"scene {name}"], "labels": {f"label {name}": {}, "other.one": {}}} for name in HOSTILE
    }
    tasks[HOSTILE[1]]["labels"]["other.one"] = {"requires": [f"{HOSTILE[2]}.other.one"]}
    models = {name: f"{name}/textcnn/1" for name in HOSTILE}
    fill(own, {
        tables.TEXTS: [text_row(f"text{at}", scene=f"scene {name}") for at, name in enumerate(HOSTILE)],
        tables.STUDENT_SCORES: [
            score_row(f"text{at}", models[name], [0.9, 0.1], scene=f"scene {name}") for at, name in enumerate(HOSTILE)
        ],
        tables.MODELS: [model_row(models[name], tasks[name]["labels"]) for name in HOSTILE],
        tables.THRESHOLDS: [threshold_row(models[name], one, 0.5) for name in HOSTILE for one in tasks[name]["labels"]],
        tables.PROMOTIONS: [promotion_row(models[name], NEW_YEAR) for name in HOSTILE],
    })  # fmt: skip
    do(label.JOB, context_of(own, "label", tasks=tasks))
    wanted = sorted((f"text{at}", name, f"label {name}") for at, name in enumerate(HOSTILE))
    assert rows_of(own.read(tables.LABELS), "text_id", "task", "label") == wanted
    assert {file.partition["task"] for file in own.catalog.arrow.files(tables.LABELS)} == set(HOSTILE)
    # One of them is decided again, in place of what it had; the others stay.
    add(own, tables.THRESHOLDS, threshold_row(models[HOSTILE[1]], f"label {HOSTILE[1]}", 0.95, version=2))
    add(own, tables.THRESHOLDS, threshold_row(models[HOSTILE[1]], "other.one", 0.95, version=2))
    add(own, tables.PROMOTIONS, promotion_row(models[HOSTILE[1]], NEW_YEAR.replace(month=2), version=2))
    do(label.JOB, context_of(own, "label", tasks=tasks))
    wanted.remove(("text1", HOSTILE[1], f"label {HOSTILE[1]}"))
    assert rows_of(own.read(tables.LABELS), "text_id", "task", "label") == wanted
    for name in HOSTILE:
        column = identifier(f"{name}_label {name}")
        told = StringIO()
        query = f"SELECT text_id, {column} AS held FROM label_wide WHERE scene = {literal(f'scene {name}')}"
        sql.run(context_of(own, "sql", tasks=tasks), query, 10, None, Console(file=told, width=200))
        assert str(name != HOSTILE[1]) in told.getvalue()
