"""All settings, composed: typed, frozen, read once and refused whole (`settings_file` reads them).

Defaults live here and beside the code they configure; files under `conf/` only override them, so that nothing
breaks where `conf/` is absent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, PositiveInt, SecretStr, field_validator, model_validator

from models import digests, label_dependencies
from models.errors import SettingsError
from models.evaluation.threshold_search import ThresholdSettings
from models.rounds.date_layout import DateLayout, Part, RoundSettings
from models.rounds.hash_draw import Draw
from models.rounds.promotion_gate import GateSettings
from models.serving.engine import EngineKind
from models.settings_base import Frozen, Identifier, Name, Place
from models.tasks import EVERY_TASK, TaskSettings
from models.text.rules import CleaningSettings
from udfs.annotation_settings import AnnotationSettings
from udfs.readers.sources import IngestSettings, SourceSettings
from udfs.score_settings import OutsideScoreSettings


class LakeSettings(Frozen):
    """Where the tables live: one schema of the session's catalog."""

    schema_name: Identifier = Field("pingti", description="The schema of the session's catalog that holds the tables.")
    location: Place | None = Field(
        "build/warehouse",
        description="The folder of the tables, one each: a path or a URI (`s3://…`); `null` leaves the place to the "
        "catalog.",
    )
    storage_options: Mapping[str, SecretStr] = Field(
        default_factory=dict,
        description="How object stores are reached, as delta-rs names it (`AWS_REGION`, `AWS_ENDPOINT_URL`, "
        "`AWS_ACCESS_KEY_ID: ${…}`); empty: what Hadoop's settings of the session say. See docs/storage.md.",
    )
    bundles: Place = Field(
        "build/bundles",
        description="The folder of teachers and sealed students: a path that every machine has, or a URI (`s3://…`) "
        "from which each fetches a model once.",
    )


SECRET_KEYS = (
    r"(?i)secret|password|token|access[.]?key|passwd|credential|api[._-]?key|private"
    r"|\b[as]k\b"
)
"""Keys whose values nothing shows, as Spark's `spark.redaction.regex` has them."""


class SessionSettings(Frozen):
    """The Spark session. `spark-submit` decides master and memory itself; here they are for `pingti JOB`."""

    timezone: str = Field(
        "Asia/Shanghai", description="The zone that cuts days; kept as a table property, another one is refused."
    )
    master: str = Field(
        "local[*,4]", description="Of a local session; 4: a task is tried again as on a cluster, `local[N]` never does."
    )
    driver_memory: str = Field("4g", description="Of a local session.")
    shuffle_partitions: PositiveInt = Field(4, description="Of a local session.")
    conf: Mapping[str, str] = Field(
        default_factory=dict,
        description="More Spark settings; those that lose rows in silence are refused at start-up, and so are secrets: "
        "they would be on the JVM's command line. A property file of `spark-submit` (mode 0600) or "
        "`lake.storage_options` has them.",
    )

    @field_validator("conf")
    @classmethod
    def _no_secrets(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        switches = ("true", "false")
        secrets = sorted(key for key in value if re.search(SECRET_KEYS, key) and value[key].lower() not in switches)
        if secrets:
            raise ValueError(
                f"{', '.join(secrets)}: secrets would be on the JVM's command line, where everyone on the machine sees "
                "them; put them into a property file of mode 0600, or lake.storage_options"
            )
        return value

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

    train_texts: PositiveInt = Field(24_000, description="Distinct texts of the training days.")
    threshold_texts: PositiveInt = Field(5_000, description="Distinct texts of the threshold days.")
    test_texts: PositiveInt = Field(5_000, description="Distinct texts of the test days.")
    gate_texts: PositiveInt = Field(5_000, description="Distinct texts of the gate days.")
    batch_tokens: PositiveInt | None = Field(
        None,
        description="Tokens of one forward pass, padding included; texts of like length share one. By default 512 on a "
        "CPU, where a batch should stay in the core's cache, and 32768 on a GPU. Where a batch does not fit the "
        "memory, the task goes on with half as many.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto",
        description="What teachers score on. `auto`: the GPU that Spark gives a task (`conf/spark/gpu.conf`), on a "
        "local master the one that torch finds, else the CPU. With `cuda` a task without a GPU is an error.",
    )
    engine: Literal["auto", "torch", "onnxruntime"] = Field(
        "auto",
        description="What computes on CPUs. `auto` and `onnxruntime`: the teacher's graph in ONNX Runtime, made once "
        "and kept beside the teacher, where it was found to repeat it; else, and on GPUs, torch.",
    )
    precision: Literal["auto", "float32", "bfloat16", "int8"] = Field(
        "auto",
        description="Of the large products. `auto`: bfloat16 on GPUs; on CPUs int8 where the teacher's decisions on "
        "its own texts stay the same but for 0.5%, else float32. bfloat16 on a CPU pays where the processor has it.",
    )
    commits: PositiveInt = Field(
        2, description="The 64 buckets are committed in this many groups; a restart loses at most one."
    )

    def texts(self, part: Part) -> int:
        """How many distinct texts of a part are drawn."""
        count: int = getattr(self, f"{part}_texts")
        return count


class ScoringSettings(Frozen):
    """What computes the scores of students."""

    engine: EngineKind = Field(
        "auto",
        description="`fused` compiles table look-ups with Numba, `onnxruntime` runs the same file's graph; their "
        "probabilities are equal within 1e-5. `auto` takes `fused` where the student is folded and Numba is installed, "
        "and says in the log which it took.",
    )


class MaintenanceSettings(Frozen):
    """What `pingti maintain` keeps, and for how long."""

    retention_days: int = Field(
        7, ge=2,
        description="Files that no version of these days needs are removed. It must be longer than the longest run, "
        "which may read what was replaced under way; a table can be restored, and an erased text be found in past "
        "versions, for as long.",
    )  # fmt: skip
    small_files: int = Field(
        8, ge=2, description="Partitions with so many files under 32 MiB are compacted: every reader opens each."
    )  # fmt: skip
    keep_rounds: PositiveInt = Field(
        3,
        description="The newest rounds of each task and kind of student keep the copied texts they learnt from; of "
        "older ones only those do whose student was ever in force, or is its task's newest.",
    )


class Settings(Frozen):
    """Everything that can be set."""

    lake: LakeSettings = Field(LakeSettings(), description="Where the tables live.")
    session: SessionSettings = Field(SessionSettings(), description="The Spark session.")
    sources: Mapping[Name, SourceSettings] = Field(default_factory=dict, description="Sources of texts, by name.")
    annotations: AnnotationSettings = Field(AnnotationSettings(), description="What files of human labels look like.")
    outside_scores: OutsideScoreSettings = Field(
        OutsideScoreSettings(), description="What files of scores from outside look like."
    )
    ingest: IngestSettings = Field(IngestSettings(), description="Limits of what is taken in.")
    cleaning: CleaningSettings = Field(CleaningSettings(), description="How texts are cleaned.")
    tasks: Mapping[Name, TaskSettings] = Field(default_factory=dict, description="What is labelled, by name.")
    teacher_scoring: TeacherScoringSettings = Field(
        TeacherScoringSettings(), description="The sample of texts that a teacher scores."
    )
    rounds: RoundSettings = Field(RoundSettings(), description="How rounds are laid out.")
    scoring: ScoringSettings = Field(ScoringSettings(), description="How students score.")
    thresholds: ThresholdSettings = Field(ThresholdSettings(), description="How thresholds are searched.")
    gate: GateSettings = Field(GateSettings(), description="What `promote` asks of a student.")
    maintenance: MaintenanceSettings = Field(MaintenanceSettings(), description="What `maintain` keeps.")

    @model_validator(mode="after")
    def _names_hold(self) -> Settings:
        label_dependencies.order(self.tasks)
        columns: dict[str, str] = {}  # of label_wide; SQL takes capital letters for small ones
        for name, one in self.tasks.items():
            for label in one.labels:
                column = f"{name}_{label}"
                if (other := columns.setdefault(column.casefold(), f"{name}.{label}")) != f"{name}.{label}":
                    raise ValueError(f"{name}.{label} and {other} would both be {column} in label_wide; rename one")
        for rule in self.cleaning.rules:
            task = self.tasks.get(rule.task)
            if (rule.task != EVERY_TASK and task is None) or (task and rule.label and rule.label not in task.labels):
                raise ValueError(f"cleaning rule {rule.name} settles {rule.task}.{rule.label}, which no task declares")
        return self

    @property
    def digest(self) -> str:
        """Names this whole tree of settings; recorded with every run."""
        return digests.of_json(self.model_dump(mode="json"), chars=16)

    def draw(self, layout: DateLayout, part: Part) -> Draw:
        """What a teacher is given of a part of the days."""
        return Draw(layout.window(part), self.teacher_scoring.texts(part), self.rounds.seed)

    def task(self, name: str) -> TaskSettings:
        """The settings of one task, or `SettingsError` naming the known ones."""
        if name not in self.tasks:
            known = ", ".join(self.tasks) or "none"
            raise SettingsError(f"--task: got {name!r}, the settings know {known}; name one of these")
        return self.tasks[name]
