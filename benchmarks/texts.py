"""The rows that benchmarks measure on: the demo corpus' own utterances, joined to the length of a spoken segment."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

from jobs.demo.composing import compose
from jobs.demo.corpus_plan import stream
from jobs.demo.corpus_settings import CorpusSettings
from models.text.normalisation import clean

SCENES = {"live_chat": 0.6, "teacher_speech": 0.25, "homework_photo": 0.15}  # as in the demo
MAX_LENGTH = 128


def rows_of_the_demo(rows: int, together: tuple[int, ...] = (1, 2, 2, 3, 4)) -> list[str]:
    """Clean texts of about 24 characters: one to four utterances of one scene and day, in a row.

    `together` is how many in a row, drawn from evenly: with (1,) they repeat as often as in the demo itself.
    """
    settings = CorpusSettings()
    texts: list[str] = []
    for scene, share in SCENES.items():
        random = stream(settings, "benchmark", scene)
        many = round(rows * share)
        spoken = [wording.text for wording in compose(scene, settings.last_day, 4 * many, settings, random)]
        at = 0
        for _ in range(many):
            joined = random.choice(together)
            texts.append(clean("".join(spoken[at : at + joined]), MAX_LENGTH))
            at += joined
    stream(settings, "benchmark", "order").shuffle(texts)
    return texts


def real_rows() -> list[str] | None:
    """Utterances of real online classes as speech recognition wrote them; None where `DATA` is unset."""
    if not os.environ.get("DATA"):
        return None
    path = Path(os.environ["DATA"]) / "dialogid_k12_asr" / "train.tsv.gz"
    with gzip.open(path, "rt", encoding="utf-8", newline="\n") as file:
        head, *rows = (line.rstrip("\r\n").split("\t") for line in file)
    return [clean(row[head.index("text")], MAX_LENGTH) for row in rows]
