"""What compared trainings come to: means over the seeds, as a table, as JSON, and for the report."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from models.evaluation.figures import NAMES
from models.folders import write_file

CONTENDER = ["student", "scheme"]
_FIGURES = ("coverage", "teacher_f1", "rows_per_s", "seconds", "parameters", "bundle_bytes")


def by_task(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """`summarised` of each task and round."""
    places = dict.fromkeys((row["task"], row["round_id"]) for row in rows)
    return [
        {"task": task, "round_id": round_id} | line
        for task, round_id in places
        for line in summarised([row for row in rows if (row["task"], row["round_id"]) == (task, round_id)])
    ]


def summarised(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A line a contender: means over the seeds, and how far the seeds lie apart (`*_spread`, most less least)."""
    if not rows:
        return []
    frame = pd.DataFrame([_flat(row) for row in rows])
    frame = frame.astype(dict.fromkeys(frame.columns.difference(CONTENDER), "float64"))
    groups = frame.groupby(CONTENDER, sort=False)
    figures = [name for name in frame.columns if name not in CONTENDER]
    table = groups[figures].mean()
    f1 = [name for name in figures if name.endswith("f1") and name != "teacher_f1"]
    spread = groups[f1].max() - groups[f1].min()
    table = table.join(spread.add_suffix("_spread")).assign(seeds=groups.size()).reset_index()
    return [
        {name: None if pd.isna(value) else value for name, value in line.items()} for line in table.to_dict("records")
    ]


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """A training's figures by name: gold_average_measure, and what else is measured."""
    measures = {
        f"{one['gold']}_{one['average']}_{name}": one[name]
        for one in row["measures"]
        for name in ("precision", "recall", "f1")
    }
    figures = {name: None if row[name] is None else float(row[name]) for name in _FIGURES}
    return {name: row[name] for name in CONTENDER} | measures | figures


def _columns() -> Iterator[tuple[str, str, str]]:
    """What a line of the table shows: its key, its heading, its form."""
    yield from (("student", "student", "{}"), ("scheme", "scheme", "{}"))
    # Of a task's only label there is no average: what it comes to has a name of its own.
    for gold in ("teacher", "human"):
        for average, named in (("macro", "macro {}"), ("positives", "{} of positives"), ("micro", "micro {}")):
            for name, short in (("precision", "P"), ("recall", "R"), ("f1", "F1")):
                yield f"{gold}_{average}_{name}", f"{gold} {named.format(short)}", "{:.4f}"
            if average != "micro":
                yield f"{gold}_{average}_f1_spread", f"{gold} {named.format('F1')}, most - least", "{:.4f}"
    for gold in ("teacher", "human"):
        for average in ("macro", "positives"):
            yield f"{gold}_unseen_{average}_f1", f"{gold} {NAMES[average]}, texts unseen in training", "{:.4f}"
    yield "teacher_f1", "its teacher's F1 against humans, mean of the labels", "{:.4f}"
    yield "coverage", "coverage", "{:.4f}"
    for name, heading in (
        ("parameters", "parameters"), ("bundle_bytes", "bundle, bytes"), ("seconds", "training, s"),
        ("rows_per_s", "rows/s, one core"),
    ):  # fmt: skip
        yield name, heading, "{:,.0f}"


def lines_of(contenders: Sequence[Mapping[str, Any]]) -> list[str]:
    """The table, in Markdown; columns that no contender has anything for are left out."""
    shown = [column for column in _columns() if any(row.get(column[0]) is not None for row in contenders)]
    lines = ["| " + " | ".join(heading for _, heading, _ in shown) + " |"]
    lines.append("|" + "|".join("---" if form == "{}" else "---:" for *_, form in shown) + "|")
    for row in contenders:
        cells = ["–" if row.get(name) is None else form.format(row[name]) for name, _, form in shown]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def write(out: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write `compare.json` anew."""
    content = {"rows": rows, "contenders": summarised(rows)}
    write_file(out / "compare.json", json.dumps(content, ensure_ascii=False, indent=1) + "\n")
