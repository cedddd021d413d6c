"""Rewrites what is made from code: the cleaner's golden outputs, docs/settings.md.   make golden

Review the change in git.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jobs.settings_doc import page
from models.text.characters import FOLDING
from models.text.normalisation import CLEANER_VERSION
from models.text.rules import Cleaner, CleaningSettings

GOLDEN = Path(__file__).with_name("golden") / "clean.jsonl"
VERSION = Path(__file__).with_name("golden") / "cleaner_version.json"
SETTINGS_PAGE = Path(__file__).parents[1] / "docs" / "settings.md"


def read(path: Path) -> list[dict[str, Any]]:
    """The cases of a file, one a line."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def answer(case: dict[str, Any]) -> str:
    """What the cleaner makes of a case's `in` by the settings that it names, else by the default ones."""
    settings = {name: case[name] for name in CleaningSettings.model_fields if name in case}
    return Cleaner(CleaningSettings.model_validate(settings)).clean(case["in"])


def render(cases: list[dict[str, Any]]) -> str:
    """The cases as lines that a reader can check: what shows is written as it is, what does not is escaped."""
    lines = (json.dumps(case | {"out": answer(case)}, ensure_ascii=False) for case in cases)
    return "".join("".join(map(_shown, line)) + "\n" for line in lines)


def check_version(cases: list[dict[str, Any]], held: int, now: int) -> None:
    """Refuse other answers under the same version: days that were cleaned would keep the old ones for ever."""
    changed = [case["why"] for case in cases if "out" in case and case["out"] != answer(case)]
    if changed and held == now:
        raise SystemExit(
            f"golden: {len(changed)} texts come out otherwise ({changed[0]}); raise CLEANER_VERSION in "
            "models/text/normalisation.py first, so that every day is cleaned again"
        )


def _shown(character: str) -> str:
    joining = "\u0300" <= character <= "\u036f" or "\ufe00" <= character <= "\ufe0f"
    seen = character == " " or FOLDING[ord(character)] not in (None, " ")
    return character if seen and not joining else json.dumps(character)[1:-1]


if __name__ == "__main__":
    golden = read(GOLDEN)
    check_version(golden, json.loads(VERSION.read_text("utf-8"))["cleaner_version"], CLEANER_VERSION)
    GOLDEN.write_text(render(golden), "utf-8")
    VERSION.write_text(json.dumps({"cleaner_version": CLEANER_VERSION}) + "\n", "utf-8")
    SETTINGS_PAGE.write_text(page(), "utf-8")
    import golden_versions  # beside this script

    golden_versions.rewrite()
