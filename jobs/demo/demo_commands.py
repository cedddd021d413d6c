"""The demo's commands: `pingti generate` and `pingti demo`. The command line adds them by one line."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from jobs.demo.corpus_settings import CorpusSettings
from jobs.runtime.launch import EXIT_CODES, PlanOption, SettingsOption, context_for, load_settings
from models.errors import SettingsError

demo_app = typer.Typer()
CORPUS = CorpusSettings.model_fields  # the options mirror some of them
TextsOption = Annotated[int, typer.Option(help=CORPUS["texts"].description)]
DaysOption = Annotated[int, typer.Option(help=CORPUS["days"].description)]
SeedOption = Annotated[int, typer.Option(help=CORPUS["seed"].description)]


@demo_app.command(epilog=EXIT_CODES)
def generate(
    out: Annotated[Path, typer.Option(help="Folder for the corpus.")],
    texts: TextsOption = CORPUS["texts"].default,
    days: DaysOption = CORPUS["days"].default,
    last_day: Annotated[str, typer.Option(help=CORPUS["last_day"].description)] = str(CORPUS["last_day"].default),
    seed: SeedOption = CORPUS["seed"].default,
    processes: Annotated[int, typer.Option(help=CORPUS["processes"].description)] = CORPUS["processes"].default,
    rates: Annotated[
        Path | None, typer.Option(help="YAML of rates: noise by source, shares, annotators.", metavar="FILE")
    ] = None,
    plan: PlanOption = False,
) -> None:
    """Write the demo corpus: texts of three sources, annotations, and the truth apart."""
    corpus = _corpus_settings(texts, days, last_day, seed, processes, rates)
    if plan:
        typer.echo(f"would write {texts:,} records of {days} days to {out}")
        return
    from jobs.demo import generator
    from jobs.runtime.progress import Reporter

    with Reporter().stage("generate") as stage:
        manifest = generator.generate(corpus, out, stage.update)
    typer.echo(f"{out / 'manifest.json'}: {len(manifest)} figures of the corpus")


@demo_app.command(epilog=EXIT_CODES)
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the corpus, the warehouse and the summary.")] = Path(
        "build/demo"
    ),
    texts: TextsOption = CORPUS["texts"].default,
    days: DaysOption = CORPUS["days"].default,
    seed: SeedOption = CORPUS["seed"].default,
    speed_seconds: Annotated[float, typer.Option(help="How long BERT-base is timed; 0 leaves the speeds out.")] = 10.0,
    settings: SettingsOption = None,
    plan: PlanOption = False,
) -> None:
    """The main job end to end on the demo corpus."""
    from jobs.demo.demo_settings import demo_settings

    loaded = load_settings(settings, demo_settings(out))
    corpus = _corpus_settings(texts, days, str(CORPUS["last_day"].default), seed, 0)
    if plan:
        typer.echo(f"would run the whole job on {texts:,} demo texts in {out}")
        return
    context = context_for("demo", loaded)
    from jobs.demo import demo as job

    job.write_settings(loaded, out, settings)
    figures = job.run_demo(context, corpus, out, speed_seconds)
    job.show(figures, out, Console())


def _corpus_settings(
    texts: int, days: int, last_day: str, seed: int, processes: int, rates: Path | None = None
) -> CorpusSettings:
    from pydantic import ValidationError

    from jobs.settings_file import read_yaml

    given = read_yaml(rates) if rates else {}
    try:
        last = date.fromisoformat(last_day)
        options = {"texts": texts, "days": days, "last_day": last, "seed": seed, "processes": processes}
        return CorpusSettings.model_validate(given | options)
    except (ValidationError, ValueError) as error:
        raise SettingsError(f"generate: {error}") from None
