"""Every table, declared once: columns, key, partitions, and what it holds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from pyspark.sql.types import StructType

BUCKETS = 64
"""Teacher scores are kept in this many buckets of `text_hash`."""


@dataclass(frozen=True)
class Table:
    """A Delta table: its name, columns (Spark DDL), unique key, partition columns and purpose."""

    name: str
    columns: str
    key: tuple[str, ...]
    partition: tuple[str, ...] = ()
    comment: str = ""
    append_only: bool = False

    @cached_property
    def schema(self) -> StructType:
        """The columns as Spark sees them. Needs no session."""
        schema = StructType.fromDDL(self.columns)
        assert isinstance(schema, StructType)  # fromDDL also parses a bare type; a table has columns
        return schema

    @property
    def names(self) -> tuple[str, ...]:
        """The column names in their declared order."""
        return tuple(field.name for field in self.schema.fields)


SETTLED_DDL = "array<struct<task: string, label: string, outcome: string, rule: string>>"
WINDOW_DDL = "struct<first: date, last: date>"

RAW_TEXTS = Table(
    "raw_texts",
    """text_id string not null, source string not null, source_id string, scene string not null, text string not null,
    text_b string, event_time timestamp not null, dt date not null, arrived_dt date not null, load_id string not null,
    file string not null, position bigint not null, run_id string not null""",
    key=("text_id",),
    partition=("arrived_dt",),
    comment="What arrived, untouched. position: byte offset, or row index in a Parquet file.",
    append_only=True,
)
REJECTED = Table(
    "rejected",
    """file string not null, position bigint not null, arrived_dt date not null, reason string not null, detail string,
    length bigint not null, sha256 string not null, raw binary, load_id string not null, run_id string not null""",
    key=("file", "position", "load_id"),
    partition=("arrived_dt",),
    comment="What could not be read, with its reason and its bytes up to 64 KiB.",
    append_only=True,
)
TEXTS = Table(
    "texts",
    f"""text_id string not null, dt date not null, source string not null, source_id string, scene string not null,
    text string not null, text_b string, text_hash string not null, length int not null, event_time timestamp not null,
    clean_version string not null, settled {SETTLED_DDL} not null, occurrences int not null""",
    key=("text_id",),
    partition=("dt",),
    comment="Clean texts; every raw text is here. occurrences: texts of the same day and scene with this text_hash.",
)
ANNOTATIONS = Table(
    "annotations",
    """task string not null, label string not null, text_id string not null, annotator string not null,
    value boolean not null, annotated_at timestamp, text_hash string not null, dt date not null, file string not null,
    run_id string not null""",
    key=("task", "label", "text_id", "annotator"),
    comment="Human labels, upserted.",
)
TEACHER_SCORES = Table(
    "teacher_scores",
    """model_id string not null, text_hash string not null, bucket int not null, logits array<float> not null,
    cls array<float> not null, projection_version string not null""",
    key=("model_id", "text_hash"),
    partition=("model_id", "bucket"),
    comment="A teacher's logits and its projected [CLS], once for each distinct text.",
)
ROUND_SAMPLES = Table(
    "round_samples",
    """round_id string not null, text_id string not null, text_hash string not null, text string not null,
    text_b string, position bigint not null, split string not null, reasons array<string> not null,
    weight float not null, hard array<float> not null, soft array<float>""",
    key=("round_id", "text_id"),
    partition=("round_id",),
    comment="The rows of a round, copied. hard: 0, 1 or null (not known) a label; soft: the teacher's logits.",
)
ROUNDS = Table(
    "rounds",
    f"""round_id string not null, task string not null, student string not null, number int not null,
    model_id string not null, teacher_id string not null, sampling string not null, scheme string not null,
    seed bigint not null,
    layout struct<train: {WINDOW_DDL}, threshold: {WINDOW_DDL}, test: {WINDOW_DDL}, gate: {WINDOW_DDL}> not null,
    inputs map<string, bigint> not null, row_counts map<string, bigint> not null,
    metrics array<struct<model: string, gold: string, part: string, precision: double, recall: double, f1: double>>
    not null,
    losses array<double> not null, decision string not null, next_sampling string, reason string not null,
    settings string not null, seconds double not null, run_id string not null""",
    key=("round_id",),
    comment="One row a finished round: what it read, how it went, what was decided and why.",
)
MODELS = Table(
    "models",
    """model_id string not null, task string not null, kind string not null, role string not null,
    labels array<string> not null, teacher_id string, round_id string, path string not null,
    digests map<string, string> not null, clean_version string not null, settings string not null,
    created_at timestamp not null, run_id string not null, base string""",
    key=("model_id",),
    comment="Teachers and students. labels is the only order of any score array of the model. base: what a teacher "
    "began as.",
)
STUDENT_SCORES = Table(
    "student_scores",
    """text_id string not null, dt date not null, model_id string not null, scene string not null,
    probs array<float>, error string, clean_version string not null""",
    key=("text_id", "model_id"),
    partition=("dt", "model_id"),
    comment="A student's probabilities. Facts, never decisions.",
)
THRESHOLDS = Table(
    "thresholds",
    """model_id string not null, label string not null, scene string not null, version int not null,
    value double not null, method string not null, gold string not null, first_dt date, last_dt date, positives bigint,
    precision double, recall double, worst_precision double, worst_recall double, precision_low double,
    precision_high double, recall_low double, recall_high double, created_at timestamp not null,
    run_id string not null""",
    key=("model_id", "label", "scene", "version"),
    comment="Thresholds of teachers and students; scene * stands for every scene without its own.",
)
PROMOTIONS = Table(
    "promotions",
    """task string not null, from_ts timestamp not null, model_id string not null, threshold_version int not null,
    reason string not null, run_id string not null""",
    key=("task", "from_ts"),
    comment="Which model and thresholds are in force from when; a rollback is another row.",
    append_only=True,
)
LABELS = Table(
    "labels",
    """text_id string not null, dt date not null, task string not null, label string not null, scene string not null,
    score float, threshold double, model_id string not null, threshold_version int not null, rule string""",
    key=("text_id", "task", "label"),
    partition=("dt", "task"),
    comment="Positives only; no row in a decided day means negative. rule: the rule that settled the text, if one did.",
)
EVALUATIONS = Table(
    "evaluations",
    """round_id string not null, model_id string not null, dt date not null, scene string not null,
    label string not null, gold string not null, purpose string not null, tp bigint not null, fp bigint not null,
    fn bigint not null, tn bigint not null, precision double, recall double, f1 double, run_id string not null""",
    key=("round_id", "model_id", "dt", "scene", "label", "gold", "purpose"),
    partition=("round_id",),
    comment="Agreement with the teacher or with humans, a row a day, scene and label, counted by occurrence; "
    "precision, recall and f1 are null where the gold holds nowhere.",
)
COMPARISONS = Table(
    "comparisons",
    """run_id string not null, task string not null, round_id string not null, teacher_id string not null,
    student string not null, scheme string not null, settings string not null, seed bigint not null,
    test_rows bigint not null,
    measures array<struct<gold: string, average: string, precision: double, recall: double, f1: double>> not null,
    coverage double, teacher_f1 double, parameters bigint not null, bundle_bytes bigint not null,
    seconds double not null, rows_per_s double, losses array<double> not null, validation array<double> not null""",
    key=("run_id", "task", "student", "scheme", "seed"),
    comment="Students and schemes trained on one and the same round, and what each came to on the test days.",
)
RUNS = Table(
    "runs",
    """run_id string not null, job string not null, arguments string not null, settings_digest string not null,
    code_version string not null, clean_version string not null, inputs map<string, bigint> not null,
    outputs map<string, bigint> not null, row_counts map<string, bigint> not null, started_at timestamp not null,
    seconds double not null, outcome string not null, reason string""",
    key=("run_id",),
    comment="Every run that did something or failed.",
)

ALL: tuple[Table, ...] = (
    RAW_TEXTS, REJECTED, TEXTS, ANNOTATIONS, TEACHER_SCORES, ROUND_SAMPLES, ROUNDS, MODELS, STUDENT_SCORES,
    THRESHOLDS, PROMOTIONS, LABELS, EVALUATIONS, COMPARISONS, RUNS,
)  # fmt: skip
BY_NAME = {table.name: table for table in ALL}
