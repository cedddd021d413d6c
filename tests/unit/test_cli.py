"""The command line answers without Java, and without what it does not need."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMMANDS = (
    "init", "generate", "ingest", "clean", "annotate", "annotate import", "annotate export", "pretrain",
    "train-teacher", "teacher", "teacher ask", "teacher import-scores",
    "score-teacher", "distil", "compare", "score", "thresholds", "promote", "rollback", "label", "sql", "runs",
    "check", "diff", "nightly", "maintain", "erase", "status", "settings", "report", "demo",
)  # fmt: skip
HELP = """
import json, sys
from typer.testing import CliRunner
from jobs.cli import app
answers = {}
for command in json.loads(sys.argv[1]):
    answer = CliRunner().invoke(app, [*command.split(), "--help"])
    answers[command] = [answer.exit_code, answer.output]
heavy = sorted(set(sys.modules) & {"pyspark", "delta", "py4j", "torch", "transformers", "onnxruntime", "pandas"})
print(json.dumps({"answers": answers, "heavy": heavy}))
"""


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter in the folder, on a machine without Java."""
    (folder / "empty").mkdir(exist_ok=True)
    environment = {key: value for key, value in os.environ.items() if key != "JAVA_HOME"}
    environment |= {"PATH": str(folder / "empty"), "PYTHONPATH": str(ROOT), "COLUMNS": "120", "NO_COLOR": "1"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def pingti(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run(folder, "-m", "jobs.cli", *arguments)


def test_every_command_has_help_that_costs_nothing(tmp_path: Path) -> None:
    ended = run(tmp_path, "-c", HELP, json.dumps(["", *COMMANDS]))
    told = json.loads(ended.stdout or ended.stderr)
    assert told["heavy"] == []
    for command, (code, text) in told["answers"].items():
        assert code == 0, command
        group = command in ("", "annotate", "teacher")
        assert ("--plan" in text) != group, command
        assert ("Exit codes: 0 done" in text) != group, command
    own = {command for command in COMMANDS if " " not in command}
    listed = {line.split()[0] for line in told["answers"][""][1].split("Commands:")[1].splitlines() if line.strip()}
    assert own == listed


def test_a_plan_of_a_corpus_touches_nothing(tmp_path: Path) -> None:
    ended = pingti(tmp_path, "generate", "--out", "corpus", "--texts", "1200", "--days", "9", "--plan")
    assert (ended.returncode, ended.stdout) == (0, "would write 1,200 records of 9 days to corpus\n")
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_rates_of_the_corpus_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "rates.yaml").write_text("speech: {homophone_char: 0.9}\nphoto: {glyph_char: 0}\n")
    ended = pingti(tmp_path, "generate", "--out", "o", "--texts", "300", "--days", "9", "--rates", "rates.yaml")
    assert ended.returncode == 0, ended.stderr
    told = json.loads((tmp_path / "o" / "manifest.json").read_text("utf-8"))["settings"]
    assert (told["speech"]["homophone_char"], told["photo"]["glyph_char"]) == (0.9, 0.0)
    assert (told["texts"], told["speech"]["drop_char"]) == (300, 0.006)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("init", "--settings", "none.yaml"), "pingti: no file at none.yaml"),
        (("label", "--settings", "bad.yaml"), "lake.schema: Extra inputs are not permitted"),
        (("generate", "--out", "corpus", "--last-day", "soon"), "pingti: generate: Invalid isoformat string"),
        (("generate", "--out", "corpus", "--texts", "0"), "greater than 0"),
        (("generate", "--out", "corpus", "--rates", "bad.yaml", "--plan"), "lake\n  Extra inputs are not permitted"),
        (("demo", "--plan", "--settings", "bad.yaml"), "rounds.rounds"),
        (("init", "--no-such-option"), "No such option"),
    ],
)
def test_wrong_settings_end_with_code_2_and_no_traceback(tmp_path: Path, arguments: tuple[str, ...], told: str) -> None:
    (tmp_path / "bad.yaml").write_text("lake: {schema: x}\nrounds: {rounds: 0}\n")
    ended = pingti(tmp_path, *arguments)
    assert ended.returncode == 2
    assert told in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "corpus").exists()


def test_without_java_what_needs_a_session_ends_with_code_6(tmp_path: Path) -> None:
    assert pingti(tmp_path, "init").returncode == 0  # it needs none
    ended = pingti(tmp_path, "sql", "SELECT 1")
    assert (ended.returncode, ended.stdout) == (6, "")
    assert ended.stderr.startswith("pingti: Java: none found; install a JDK 17 or newer")


def test_a_plan_of_the_demo_needs_no_java(tmp_path: Path) -> None:
    ended = pingti(tmp_path, "demo", "--plan", "--texts", "5000", "--out", "here")
    assert (ended.returncode, ended.stdout) == (0, "would run the whole job on 5,000 demo texts in here\n")


def test_ingest_takes_one_way_of_streaming(tmp_path: Path) -> None:
    ended = pingti(tmp_path, "ingest", "--new", "--follow")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "pingti: ingest: got --new and --follow, expected one of them" in ended.stderr
