"""`pingti report`: the state of the warehouse as one HTML page (English and Chinese) and `summary.json`."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from jobs.lake import tables
from jobs.lake.store import Lake
from jobs.reports import summary
from jobs.rounds import comparison_table
from jobs.runtime.context import Context
from jobs.runtime.job import Done, Job, Work
from models.folders import write_file
from models.tasks import TaskSettings

_TEMPLATE = "report.html.j2"


def plan(context: Context) -> Work[Path]:
    """Always writes: the page is of now."""
    folder = Path(context.request.options["out"])
    return Work((f"write {folder / 'report.html'} and {folder / 'summary.json'}",), folder)


def execute(context: Context, work: Path) -> Done:
    """Write the page and the summary."""
    written = write(context.lake, context.settings.tasks, work)
    return Done(counts={"texts": written["counts"]["texts"]})


def write(
    lake: Lake, tasks: Mapping[str, TaskSettings], folder: Path, extra: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Check the counts and write `summary.json` and `report.html` into the folder; returns the summary."""
    found: dict[str, Any] = {"counts": summary.counts(lake, tasks)} | (extra or {})
    summary.check(found["counts"])
    if "rounds" not in found:  # who knows more of the rounds brings them along
        found["rounds"] = summary.rounds(lake)
    page = render(found, summary.labels_by_day(lake), summary.quality_by_label(lake), summary.comparisons(lake))
    write_file(folder / "report.html", page)
    write_file(folder / "summary.json", json.dumps(found, ensure_ascii=False, indent=1, default=str) + "\n")
    return found


def render(
    found: dict[str, Any], days: list[dict[str, Any]], thresholds: list[dict[str, Any]],
    trainings: list[dict[str, Any]],
) -> str:  # fmt: skip
    """The page. Everything that comes from the tables is escaped; there is no script, and none can run."""
    template = resources.files("jobs.reports").joinpath(_TEMPLATE).read_text("utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(
        summary=found, thresholds=thresholds, chart=_chart(days), losses=_losses(found["rounds"], trainings),
        comparisons=comparison_table.by_task(trainings),
    )  # fmt: skip


def _chart(days: list[dict[str, Any]]) -> str:
    """The share of texts with each label, by day, as SVG without text from the tables but label names."""
    series: dict[str, list[tuple[Any, float]]] = {}
    for row in days:
        series.setdefault(f"{row['task']}.{row['label']}", []).append((row["dt"], row["positives"] / row["texts"]))
    return _lines(series, share=True)


def _losses(rounds: list[dict[str, Any]], trainings: list[dict[str, Any]]) -> str:
    """The mean loss of each epoch of each round, and of each compared training's first seed, as SVG."""
    series: dict[str, list[tuple[Any, float]]] = {
        row["round_id"]: list(enumerate(row["losses"], start=1)) for row in rounds if row.get("losses")
    }
    for row in trainings:
        series.setdefault(f"{row['task']} {row['student']} {row['scheme']}", list(enumerate(row["losses"], start=1)))
    return _lines(series, share=False)


def _lines(series: dict[str, list[tuple[Any, float]]], *, share: bool) -> str:
    if not series:
        return ""
    import matplotlib as mpl

    mpl.use("svg")
    import matplotlib.pyplot as plt

    mpl.rcParams["svg.hashsalt"] = "pingti"
    figure, axes = plt.subplots(figsize=(10, 4), layout="constrained")
    for name, points in series.items():
        axes.plot([at for at, _ in points], [value for _, value in points], label=name, linewidth=1.2)
    if share:
        axes.yaxis.set_major_formatter(mpl.ticker.PercentFormatter(1.0))
    axes.legend(fontsize="x-small", ncols=2, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    axes.grid(alpha=0.3)
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    plt.close(figure)
    drawn = buffer.getvalue()
    return drawn[drawn.index("<svg") :]


_READS = (
    tables.RUNS, tables.REJECTED, tables.RAW_TEXTS, tables.TEXTS, tables.STUDENT_SCORES, tables.LABELS, tables.ROUNDS,
    tables.THRESHOLDS, tables.PROMOTIONS, tables.COMPARISONS,
)  # fmt: skip
JOB = Job("report", plan, execute, reads=_READS)
