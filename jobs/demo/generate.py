"""`pingti generate`: the demo corpus, files of texts and, apart from them, the truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jobs.demo.corpus_settings import CorpusSettings
from jobs.demo.generator import generate
from jobs.runtime.progress import Reporter


def run(settings: CorpusSettings, folder: Path, reporter: Reporter, following: str = "") -> dict[str, Any]:
    """Write the corpus into the folder; returns its manifest."""
    with reporter.stage("generate", following=following) as stage:
        manifest = generate(settings, folder, lambda done: stage.update(done, settings.texts))
        stage.rows = settings.texts
    return manifest
