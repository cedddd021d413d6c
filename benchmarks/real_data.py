"""Real texts through the whole job: `DATA=… MODELS=… .venv/bin/python -m benchmarks.real_data dialogid`.

Ingests, cleans and annotates the set, fine-tunes the teacher, scores with it and distils a student, in a warehouse of
its own for each seed; then prints what teacher, student and the same student without distillation are worth against
the set's own labels on the test day, mean and spread over the seeds. Writes `build/real/SET.json`.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import sys
from pathlib import Path
from typing import Any

from benchmarks import exam
from jobs.ingestion import clean, import_annotations, ingest
from jobs.operations import init
from jobs.reports import summary
from jobs.rounds import distil
from jobs.runtime import session
from jobs.runtime.chain import Link, run_chain
from jobs.runtime.context import Request, make_context
from jobs.runtime.progress import Reporter
from jobs.scoring import score_teacher
from jobs.settings import Settings
from jobs.settings_file import load, merge
from jobs.teachers import train_teacher

OUT = Path("build/real")
WHO = {"teacher": "teacher_human", "student": "human", "undistilled": "undistilled_human"}
BASE = "zh-bert-4x256"


def main() -> int:
    """Run the seeds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("set", choices=["dialogid", "exam"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    arguments = parser.parse_args()
    missing = [name for name in ("DATA", "MODELS") if not os.environ.get(name)]
    if missing:
        sys.stderr.write(f"real_data: set {', '.join(missing)} to the folders of the data and of the teachers' bases\n")
        return 2
    data = Path(os.environ["DATA"])
    if arguments.set == "dialogid":
        given, labelled = (
            load(Path("conf/dialogid.yaml")).model_dump(mode="json", by_alias=True),
            data / "dialogid_k12_asr" / "*.tsv.gz",
        )
    else:
        given, labelled = exam.prepare(data, OUT / "exam")
        given["tasks"][exam.TASK]["teacher"]["from"] = str(Path(os.environ["MODELS"]) / BASE)
    found = [_seed(arguments.set, given, labelled, seed) for seed in arguments.seeds]
    _tell(arguments.set, found, arguments.seeds)
    return 0


def _seed(name: str, given: dict[str, Any], labelled: Path, seed: int) -> dict[str, Any]:
    """The last round of a seed's own warehouse, from the files on."""
    place = OUT / f"{name}-{seed}"
    own = {"location": str(place / "warehouse"), "bundles": str(place / "bundles")}
    # What a weak teacher costs is what is measured here.
    rounds = {"seed": seed, "accept_weak_teacher": True}
    settings = Settings.model_validate(merge(given, {"lake": own, "rounds": rounds}))
    context = make_context("real", settings, lambda: session.start(settings.session), Request(), Reporter())
    links = [
        Link(init.JOB), Link(ingest.JOB), Link(clean.JOB), Link(import_annotations.JOB, {"file": labelled}),
        Link(train_teacher.JOB), Link(score_teacher.JOB), Link(distil.JOB),
    ]  # fmt: skip
    run_chain(links, context, following=f"seed {seed} is done")
    return summary.rounds(context.lake)[-1]


def _tell(name: str, found: list[dict[str, Any]], seeds: list[int]) -> None:
    """Macro F1 against the set's labels on the test day, and against the teacher."""
    # Null where nobody annotated a text that was drawn and that training has not seen.
    values = {who: [(entry[key] or {}).get("f1", math.nan) for entry in found] for who, key in WHO.items()}
    values["student against teacher"] = [entry["f1"] for entry in found]
    told = {
        who: {"mean": statistics.mean(each), "spread": max(each) - min(each), "seeds": each}
        for who, each in values.items()
    }
    (OUT / f"{name}.json").write_text(json.dumps({"seeds": seeds, "macro_f1": told}, indent=1) + "\n")
    print("macro F1 on the test day")
    for who, value in told.items():
        each = "  ".join(f"{one:.4f}" for one in value["seeds"])
        print(f"{who:<26} {value['mean']:.4f}  (max - min {value['spread']:.4f})  {each}")


if __name__ == "__main__":
    sys.exit(main())
