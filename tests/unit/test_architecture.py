"""The house keeps its walls: who imports whom, and what travels to which machine."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("jobs", "udfs", "models")
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for package in PACKAGES
    for path in (ROOT / package).rglob("*.py")
)
CHAINS = (
    "jobs.cli", "jobs.demo.", "jobs.operations.nightly", "jobs.operations.status",
    "jobs.operations.check_annotations",  # which says what an import would do
)  # fmt: skip
TORCH_FREE = (
    "udfs.student_scoring", "udfs.cleaning", "udfs.readers.reading", "udfs.readers.sources", "udfs.readers.survey",
)  # fmt: skip
IMPORT = """
import importlib, json, sys
failed = {}
for name in json.loads(sys.argv[1]):
    try:
        importlib.import_module(name)
    except BaseException as error:
        failed[name] = repr(error)
print(json.dumps({"failed": failed, "modules": sorted({name.partition(".")[0] for name in sys.modules})}))
"""


def fresh(*modules: str) -> tuple[dict[str, str], set[str]]:
    """What could not be imported in a fresh interpreter, and the top-level modules that came along."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        [sys.executable, "-c", IMPORT, json.dumps(modules)], env=environment, capture_output=True, text=True, check=True
    )
    told = json.loads(ended.stdout.splitlines()[-1])
    return told["failed"], set(told["modules"])


@pytest.mark.parametrize("module", TORCH_FREE)
def test_the_student_path_leaves_torch_and_spark_out(module: str) -> None:
    failed, loaded = fresh(module)
    assert not failed
    assert not loaded & {"torch", "transformers", "pyspark", "delta", "py4j", "onnx", "onnxruntime", "numba", "jobs"}


def test_the_udfs_leave_spark_out_and_the_teacher_waits_for_its_first_batch() -> None:
    failed, loaded = fresh(*(name for name in MODULES if name.startswith("udfs")))
    assert not failed
    assert not loaded & {"torch", "transformers", "pyspark", "delta", "jobs"}


def test_every_module_can_be_imported() -> None:
    assert len(MODULES) > 60
    failed, loaded = fresh(*MODULES)
    assert failed == {}
    assert {"torch", "pyspark"} <= loaded


def test_imports_keep_to_the_contracts() -> None:
    lint = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    ended = subprocess.run(
        [sys.executable, "-c", lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    assert ended.returncode == 0, ended.stdout
    assert f"{len(contracts)} kept, 0 broken" in ended.stdout


def test_a_job_is_imported_by_the_command_line_chains_of_jobs_and_its_own_room_alone() -> None:
    sources = {name: (ROOT / Path(*name.split("."))).with_suffix(".py") for name in MODULES if name.startswith("jobs.")}
    texts = {name: path.read_text("utf-8") for name, path in sources.items() if path.is_file()}
    jobs = {name for name, text in texts.items() if "\nJOB = Job(" in text}
    assert len(jobs) > 15
    arrows = {
        (name, job)
        for name, text in texts.items()
        for job in _imported(text) & jobs
        if name.split(".")[1] != job.split(".")[1] and not name.startswith(CHAINS)
    }
    assert arrows == set(), "what two rooms share lives in a library below them"


def _imported(text: str) -> set[str]:
    """The modules that a module imports, wherever in it; of `from a import b` both `a` and `a.b`."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def test_the_wheel_holds_exactly_the_three_packages() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == list(PACKAGES)


def test_every_folder_with_code_is_a_package() -> None:
    """A folder without `__init__.py` is left out of a zip's imports."""
    folders = {path.parent for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
    assert [folder for folder in sorted(folders) if not (folder / "__init__.py").is_file()] == []


def test_packages_say_what_they_are_and_import_nothing() -> None:
    """An eager import in a package would pull torch into every executor, past the import contracts."""
    for package in PACKAGES:
        for path in (ROOT / package).rglob("__init__.py"):
            code = compile(path.read_text("utf-8"), str(path), "exec")
            assert code.co_names == ("__doc__",), path


def test_no_module_is_named_like_another_or_like_pythons_own() -> None:
    """A script run by its path finds its neighbours first, and errors name modules without their folder."""
    for package in PACKAGES:
        names = Counter(path.stem for path in (ROOT / package).rglob("*.py") if path.stem != "__init__")
        assert [name for name, times in names.items() if times > 1] == [], package
    everywhere = {name.rpartition(".")[2] for name in MODULES if "." in name}
    assert everywhere & (set(sys.stdlib_module_names) | set(PACKAGES)) == set()


def test_a_long_module_says_why() -> None:
    """Past 250 lines a module usually holds two rooms."""
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            code = path.read_text("utf-8")
            docstring = code.split('"""')[1]
            assert code.count("\n") <= 250 or "It is long because" in docstring, path


def test_only_the_demo_and_the_command_line_know_the_demo() -> None:
    outside = [path for path in (ROOT / "jobs").rglob("*.py") if "demo" not in path.relative_to(ROOT).parts]
    users = [path.name for path in outside if "jobs.demo" in path.read_text("utf-8")]
    assert users == ["cli.py"]
