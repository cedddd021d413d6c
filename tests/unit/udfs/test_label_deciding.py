"""Labels of a batch, against the same decisions made text by text in plain Python."""

from __future__ import annotations

from datetime import date
from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from models.tasks import TaskSettings
from tests.golden_versions import SETTLED
from udfs.label_deciding import DECIDED, SCORES, TaskDecider, decide_batch, label_decider

TASKS = {
    "a": TaskSettings.model_validate(
        {"scenes": ["chat", "photo"], "labels": {"x": {"excludes": ["y"]}, "y": {}, "z": {"requires": ["b.w"]}}}
    ),
    "b": TaskSettings.model_validate({"scenes": ["chat"], "labels": {"w": {}, "new": {}}}),
}
DECIDERS = [
    TaskDecider("a", "a/1", ("y", "x", "z"), 2, {"*": (0.5, 0.5, 0.5), "photo": (0.75, 0.25, 0.5)}, frozenset({"y"})),
    TaskDecider("b", "b/1", ("w",), 1, {"*": (0.5,)}),
]
SCORE = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])
TEXT = st.fixed_dictionaries({
    "scene": st.sampled_from(["chat", "photo", "speech"]),
    "a": st.none() | st.tuples(SCORE, SCORE, SCORE), "b": st.none() | st.tuples(SCORE),
    "settled": st.lists(
        st.tuples(st.sampled_from(["a", "b", "*"]), st.sampled_from(["x", "w", "new", None]),
                  st.sampled_from(["positive", "negative", "useless"]), st.sampled_from(["r1", "r2"])), max_size=2),
})  # fmt: skip


def batch_of(texts: list[dict[str, Any]]) -> pa.RecordBatch:
    scores = [
        [{"model_id": f"{task}/1", "probs": text[task]} for task in ("b", "a") if text[task] is not None] or None
        for text in texts
    ]
    settled = [
        [dict(zip(("task", "label", "outcome", "rule"), one, strict=True)) for one in text["settled"]] for text in texts
    ]
    return pa.RecordBatch.from_pydict({
        "text_id": pa.array([str(at) for at in range(len(texts))], pa.string()),
        "dt": pa.array([date(2026, 3, 1)] * len(texts), pa.date32()),
        "scene": pa.array([text["scene"] for text in texts], pa.string()),
        "settled": pa.array(settled, SETTLED), "scores": pa.array(scores, SCORES),
    })  # fmt: skip


def holds(text: dict[str, Any]) -> dict[str, bool]:
    """By label, whether it holds of one text."""

    def above(task: str, label: str) -> bool:
        decider = next(one for one in DECIDERS if one.task == task)
        if text["scene"] not in TASKS[task].scenes or label in decider.withheld:
            return False
        if (task, label, "positive") in [one[:3] for one in text["settled"]]:
            return True
        if text[task] is None or label not in decider.labels or {task, "*"} & {one[0] for one in text["settled"]}:
            return False
        at = decider.labels.index(label)
        return bool(text[task][at] >= decider.limits.get(text["scene"], decider.limits["*"])[at])

    w = above("b", "w")
    x = above("a", "x")
    return {"x": x, "y": above("a", "y") and not x, "z": above("a", "z") and w, "w": w, "new": above("b", "new")}


@given(st.lists(TEXT, min_size=1, max_size=6))
@settings(deadline=None)
def test_a_batch_is_decided_as_its_texts_one_by_one(texts: list[dict[str, Any]]) -> None:
    found = decide_batch(batch_of(texts), TASKS, DECIDERS)
    assert found.schema == DECIDED
    rows = {(int(row["text_id"]), row["label"]): row for row in found.to_pylist()}
    assert len(rows) == found.num_rows
    wanted = {(at, label) for at, text in enumerate(texts) for label, held in holds(text).items() if held}
    assert rows.keys() == wanted
    for (at, label), row in rows.items():
        text, decider = texts[at], next(one for one in DECIDERS if one.task == row["task"])
        scored = text[row["task"]] is not None and label in decider.labels
        assert row["score"] == (text[row["task"]][decider.labels.index(label)] if scored else None)
        assert (row["threshold"] is None) == (not scored)
        first = next((one[3] for one in text["settled"] if one[:2] == (row["task"], label)), None)
        assert row["rule"] == first


def test_an_empty_partition_decides_nothing() -> None:
    decide = label_decider(TASKS, DECIDERS)
    assert list(decide(iter([]))) == []
    assert list(decide(iter([batch_of([])]))) == []
