"""All settings, composed: typed, frozen, read once and refused whole.

Defaults live here and beside the code they configure; files under `conf/` only override them, so that nothing
breaks where `conf/` is absent.
"""

from __future__ import annotations

import os
import re
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml
from pydantic import Field, PositiveInt, ValidationError, field_validator, model_validator

from models import digests, label_dependencies
from models.errors import SettingsError
from models.evaluation.threshold_search import ThresholdSettings
from models.rounds.date_layout import RoundSettings
from models.serving.engine import EngineKind
from models.tasks import EVERY_TASK, Frozen, Name, TaskSettings
from models.text.rules import CleaningSettings
from udfs.readers.sources import IngestSettings, SourceSettings

MAX_SETTINGS_BYTES = 1 << 20


class LakeSettings(Frozen):
    """Where the tables live: one schema of the session's catalog.

    `location` is the folder under which each table has its own; None leaves the place to the catalog.
    """

    schema_name: Name = "pingti"
    location: str | None = "build/warehouse"
    checkpoints: str | None = None  # of `ingest --new` and `--follow`; None: the folder `checkpoints` beside `location`
    bundles: str = "build/bundles"  # sealed bundles and teachers, reached by driver and executors alike


class SessionSettings(Frozen):
    """The Spark session. `spark-submit` decides the master itself; `master` is for `pingti JOB`."""

    timezone: str = "Asia/Shanghai"
    master: str = "local[*,4]"  # 4: a task is tried again as on a cluster; plain local[N] never retries
    driver_memory: str = "4g"
    shuffle_partitions: PositiveInt = 4
    conf: Mapping[str, str] = Field(default_factory=dict)

    @field_validator("timezone")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError("not a time zone of the tz database, such as Asia/Shanghai") from error
        return value


class TeacherScoringSettings(Frozen):
    """The bounded sample of distinct texts that a teacher scores, by part of the date layout."""

    train_texts: PositiveInt = 24_000
    threshold_texts: PositiveInt = 5_000
    test_texts: PositiveInt = 5_000
    gate_texts: PositiveInt = 5_000
    batch: PositiveInt = 64
    commits: PositiveInt = 2  # the 64 buckets are committed in this many groups; a restart loses at most one


AnnotationColumn = Literal[
    "task",
    "label",
    "value",
    "annotator",
    "annotated_at",
    "text_id",
    "source",
    "source_id",
    "text",
    "text_b",
]
_VARIABLE = re.compile(r"\$\{([A-Z][A-Z0-9_]*)\}")


class AnnotationSettings(Frozen):
    """What files of human labels look like, where their columns are not called as ours.

    `columns` maps our names to the file's; `constants` gives ours a fixed value; `labels` maps the file's names of
    labels to ours. A row needs a `value` (true or false): in the file, or here.
    """

    columns: Mapping[AnnotationColumn, str] = {}
    constants: Mapping[AnnotationColumn, str] = {}
    labels: Mapping[str, Name] = {}


class ScoringSettings(Frozen):
    """How students score. `auto`: the fused engine where a student is folded and Numba is there, else ONNX Runtime."""

    engine: EngineKind = "auto"


class Settings(Frozen):
    """Everything that can be set."""

    lake: LakeSettings = LakeSettings()
    session: SessionSettings = SessionSettings()
    sources: Mapping[Name, SourceSettings] = Field(default_factory=dict)
    annotations: AnnotationSettings = AnnotationSettings()
    ingest: IngestSettings = IngestSettings()
    cleaning: CleaningSettings = CleaningSettings()
    tasks: Mapping[Name, TaskSettings] = Field(default_factory=dict)
    teacher_scoring: TeacherScoringSettings = TeacherScoringSettings()
    rounds: RoundSettings = RoundSettings()
    scoring: ScoringSettings = ScoringSettings()
    thresholds: ThresholdSettings = ThresholdSettings()

    @model_validator(mode="after")
    def _names_hold(self) -> Settings:
        label_dependencies.order(self.tasks)
        for rule in self.cleaning.rules:
            task = self.tasks.get(rule.task)
            if (rule.task != EVERY_TASK and task is None) or (task and rule.label and rule.label not in task.labels):
                raise ValueError(f"cleaning rule {rule.name} settles {rule.task}.{rule.label}, which no task declares")
        return self

    @property
    def digest(self) -> str:
        """Names this whole tree of settings; recorded with every run."""
        return digests.of_json(self.model_dump(mode="json"), chars=16)

    def task(self, name: str) -> TaskSettings:
        """The settings of one task, or `SettingsError` naming the known ones."""
        if name not in self.tasks:
            known = ", ".join(self.tasks) or "none"
            raise SettingsError(f"--task: got {name!r}, the settings know {known}; name one of these")
        return self.tasks[name]


class _UniqueKeyLoader(yaml.SafeLoader):
    """PyYAML lets a repeated key win silently; here it is an error."""


def _mapping(loader: _UniqueKeyLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(key, deep=True) for key, _ in node.value]
    if not all(isinstance(key, Hashable) for key in keys):
        raise yaml.constructor.ConstructorError(None, None, "a key is no plain text", node.start_mark)
    twice = sorted({str(key) for key in keys if keys.count(key) > 1})
    if twice:
        told = f"key given twice: {', '.join(twice)}; keep one"
        raise yaml.constructor.ConstructorError(None, None, told, node.start_mark)
    return dict(zip(keys, (loader.construct_object(v, deep=True) for _, v in node.value), strict=True))


_UniqueKeyLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def load(file: Path | None, base: Mapping[str, Any] | None = None) -> Settings:
    """The settings of a file laid over `base` (or over the defaults), all problems in one `SettingsError`."""
    given: dict[str, Any] = dict(base or {})
    if file is not None:
        given = merge(given, read_yaml(file))
    try:
        return Settings.model_validate(given)
    except ValidationError as error:
        raise SettingsError(_explain(error, file)) from None


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid over `base`, mapping by mapping; anything else is replaced whole."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        both = isinstance(below, Mapping) and isinstance(value, Mapping)
        merged[key] = merge(below, value) if both else value  # type: ignore[arg-type]
    return merged


def read_yaml(file: Path) -> dict[str, Any]:
    """A YAML file's mapping, `${NAME}` filled from the environment; anything else is a `SettingsError`."""
    if not file.is_file():
        raise SettingsError(f"no file at {file}; give the path of a YAML file")
    if file.stat().st_size > MAX_SETTINGS_BYTES:
        raise SettingsError(f"{file}: {file.stat().st_size} bytes, at most {MAX_SETTINGS_BYTES} are read")
    try:
        value = yaml.load(file.read_text("utf-8"), Loader=_UniqueKeyLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date that is none, bytes not UTF-8
        raise SettingsError(f"{file}: not readable as YAML, mend it: {error}") from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise SettingsError(f"{file}: got a {type(value).__name__} at the top, expected keys such as tasks:")
    missing: set[str] = set()
    filled: dict[str, Any] = _filled(value, missing)
    if missing:
        raise SettingsError(f"{file}: the environment lacks {', '.join(sorted(missing))}, which it names; set them")
    return filled


def _filled(value: Any, missing: set[str]) -> Any:
    """`${NAME}` in any text replaced from the environment; names that are not there are noted."""
    if isinstance(value, dict):
        return {key: _filled(inner, missing) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, missing) for inner in value]
    if not isinstance(value, str):
        return value
    missing |= {name for name in _VARIABLE.findall(value) if name not in os.environ}
    return _VARIABLE.sub(lambda found: os.environ.get(found[1], ""), value)


def _explain(error: ValidationError, file: Path | None) -> str:
    problems = error.errors(include_url=False)
    lines = [f"{file or 'settings'}: {len(problems)} problem(s)"]
    for problem in problems:
        where = ".".join(str(part) for part in problem["loc"]) or "(top)"
        got = "" if isinstance(problem["input"], dict) else f" (got {problem['input']!r})"
        lines.append(f"  {where}: {problem['msg']}{got}")
    return "\n".join(lines)
