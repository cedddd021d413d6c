"""What compared trainings come to: means over the seeds, as a table, as JSON, and for the report."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any


def by_task(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """`summarised` of each task and round."""
    places = dict.fromkeys((row["task"], row["round_id"]) for row in rows)
    return [
        {"task": task, "round_id": round_id} | line
        for task, round_id in places
        for line in summarised([row for row in rows if (row["task"], row["round_id"]) == (task, round_id)])
    ]


def summarised(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A line a contender: means over the seeds, and how far the seeds lie apart."""
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["student"], row["scheme"]), []).append(row)
    return [_mean(student, scheme, own) for (student, scheme), own in groups.items()]


def _mean(student: str, scheme: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    measures: dict[str, list[float]] = {}
    for row in rows:
        for one in row["measures"]:
            for name in ("precision", "recall", "f1"):
                measures.setdefault(f"{one['gold']}_{one['average']}_{name}", []).append(one[name])
    found: dict[str, Any] = {"student": student, "scheme": scheme, "seeds": len(rows)}
    found |= {name: statistics.mean(values) for name, values in measures.items()}
    found |= {f"{name}_spread": max(v) - min(v) for name, v in measures.items() if name.endswith("f1")}
    for name in ("coverage", "teacher_f1", "rows_per_s", "seconds", "parameters", "bundle_bytes"):
        values = [row[name] for row in rows if row[name] is not None]
        found[name] = statistics.mean(values) if values else None
    return found


def _columns() -> Iterator[tuple[str, str, str]]:
    """What a line of the table shows: its key, its heading, its form."""
    yield from (("student", "student", "{}"), ("scheme", "scheme", "{}"))
    for gold in ("teacher", "human"):
        for average in ("macro", "micro"):
            for name, short in (("precision", "P"), ("recall", "R"), ("f1", "F1")):
                yield f"{gold}_{average}_{name}", f"{gold} {average} {short}", "{:.4f}"
        yield f"{gold}_macro_f1_spread", f"{gold} macro F1, most - least", "{:.4f}"
    yield "human_unseen_macro_f1", "human macro F1, texts unseen in training", "{:.4f}"
    yield "teacher_f1", "its teacher's human macro F1", "{:.4f}"
    yield "coverage", "coverage", "{:.4f}"
    for name, heading in (
        ("parameters", "parameters"), ("bundle_bytes", "bundle, bytes"), ("seconds", "training, s"),
        ("rows_per_s", "rows/s, one core"),
    ):  # fmt: skip
        yield name, heading, "{:,.0f}"


def lines_of(told: Sequence[Mapping[str, Any]]) -> list[str]:
    """The table, in Markdown; columns that no contender has anything for are left out."""
    shown = [column for column in _columns() if any(row.get(column[0]) is not None for row in told)]
    lines = ["| " + " | ".join(heading for _, heading, _ in shown) + " |"]
    lines.append("|" + "|".join("---" if form == "{}" else "---:" for *_, form in shown) + "|")
    for row in told:
        cells = ["–" if row.get(name) is None else form.format(row[name]) for name, _, form in shown]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def write(out: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write `compare.json` anew."""
    out.mkdir(parents=True, exist_ok=True)
    told = {"rows": rows, "contenders": summarised(rows)}
    partial = out / ".compare.json"
    partial.write_text(json.dumps(told, ensure_ascii=False, indent=1) + "\n", "utf-8")
    partial.replace(out / "compare.json")
