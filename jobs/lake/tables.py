"""Every table, declared once: columns, key, partitions, and what it holds.

It is long because it is one list.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa
from pyspark.sql.pandas.types import from_arrow_schema
from pyspark.sql.types import StructType

BUCKETS = 64
"""Teacher scores are kept in this many buckets of `text_hash`."""

STRING, BINARY, BOOLEAN, DATE = pa.string(), pa.binary(), pa.bool_(), pa.date32()
INT, LONG, FLOAT, DOUBLE = pa.int32(), pa.int64(), pa.float32(), pa.float64()
TIMESTAMP = pa.timestamp("us", "UTC")


@dataclass(frozen=True, eq=False)
class Table:
    """A Delta table: its name, columns, unique key, partition columns and purpose."""

    name: str
    columns: pa.Schema
    key: tuple[str, ...]
    partition: tuple[str, ...] = ()
    comment: str = ""
    append_only: bool = False

    @cached_property
    def schema(self) -> StructType:
        """The columns as Spark sees them. Needs no session."""
        schema: StructType = from_arrow_schema(self.columns)
        return schema

    @property
    def names(self) -> tuple[str, ...]:
        """The column names in their declared order."""
        return tuple(self.columns.names)


def columns(**types: pa.DataType | pa.Field) -> pa.Schema:
    """Columns in their order; a type alone may not be null."""
    fields = ((name, kind if isinstance(kind, pa.Field) else pa.field("", kind, False)) for name, kind in types.items())
    return pa.schema([field.with_name(name) for name, field in fields])


def optional(kind: pa.DataType) -> pa.Field:
    """A column that may be null."""
    return pa.field("", kind)


def array(kind: pa.DataType) -> pa.DataType:
    """A list; its elements may be null."""
    return pa.list_(kind)


def mapping(key: pa.DataType, value: pa.DataType) -> pa.DataType:
    """A map; its values may be null."""
    return pa.map_(key, value)


def struct(**types: pa.DataType) -> pa.DataType:
    """A struct; its fields may be null."""
    return pa.struct(list(types.items()))


SETTLED = array(struct(task=STRING, label=STRING, outcome=STRING, rule=STRING))
WINDOW = struct(first=DATE, last=DATE)

RAW_TEXTS = Table(
    "raw_texts",
    columns(
        text_id=STRING, source=STRING, source_id=optional(STRING), scene=STRING, text=STRING,
        text_b=optional(STRING), event_time=TIMESTAMP, dt=DATE, arrived_dt=DATE, load_id=STRING, file=STRING,
        position=LONG, run_id=STRING,
    ),
    key=("text_id",),
    partition=("arrived_dt",),
    comment="What arrived, untouched. position: byte offset, or row index in a Parquet file.",
    append_only=True,
)  # fmt: skip
REJECTED = Table(
    "rejected",
    columns(
        file=STRING, position=LONG, arrived_dt=DATE, reason=STRING, detail=optional(STRING), length=LONG,
        sha256=STRING, raw=optional(BINARY), load_id=STRING, run_id=STRING, text_id=optional(STRING),
    ),
    key=("file", "position", "load_id"),
    partition=("arrived_dt",),
    comment="What could not be read, with its reason and its bytes up to 64 KiB. text_id: where the record had an id. "
    "An erased record (reason erased) has no bytes.",
    append_only=True,
)  # fmt: skip
LOADS = Table(
    "loads",
    columns(
        load_id=STRING, file=STRING, arrived_dt=DATE, source_name=optional(STRING), layout=optional(STRING),
        size=optional(LONG), modified=optional(TIMESTAMP), sha256=optional(STRING), first=LONG, state=STRING,
        records=LONG, raw=LONG, rejected=LONG, repeated=LONG, run_id=STRING,
    ),
    key=("load_id", "file", "arrived_dt", "run_id"),
    comment="What became of every file: records = raw + rejected + repeated, which add up over a load's rows. state: "
    "loaded, known (its content was loaded before), refused, or erased (raw texts made rejected records). layout: a "
    "digest of how it was read. first: the byte where what was loaded begins. An earlier version's loads have no size, "
    "time and digest.",
)  # fmt: skip
TEXTS = Table(
    "texts",
    columns(
        text_id=STRING, dt=DATE, source=STRING, source_id=optional(STRING), scene=STRING, text=STRING,
        text_b=optional(STRING), text_hash=STRING, length=INT, event_time=TIMESTAMP, clean_version=STRING,
        settled=SETTLED, occurrences=INT,
    ),
    key=("text_id",),
    partition=("dt",),
    comment="Clean texts; every raw text is here. occurrences: texts of the same day and scene with this text_hash.",
)  # fmt: skip
ANNOTATIONS = Table(
    "annotations",
    columns(
        task=STRING, label=STRING, text_id=STRING, annotator=STRING, value=BOOLEAN,
        annotated_at=optional(TIMESTAMP), text_hash=STRING, dt=DATE, file=STRING, run_id=STRING,
    ),
    key=("task", "label", "text_id", "annotator"),
    comment="Human labels, upserted.",
)  # fmt: skip
TEACHER_SCORES = Table(
    "teacher_scores",
    columns(
        model_id=STRING, text_hash=STRING, bucket=INT, logits=array(FLOAT), cls=array(FLOAT),
        projection_version=STRING, error=optional(STRING), computed_by=optional(STRING),
    ),
    key=("model_id", "text_hash"),
    partition=("model_id", "bucket"),
    comment="A teacher's logits and its projected [CLS], once for each distinct text. Of scores from outside cls is "
    "empty. error: why it has none (empty lists). computed_by: engine, device, precision and tokens of a batch.",
)  # fmt: skip
ROUND_SAMPLES = Table(
    "round_samples",
    columns(
        round_id=STRING, text_id=STRING, text_hash=STRING, text=STRING, text_b=optional(STRING), position=LONG,
        split=STRING, reasons=array(STRING), weight=FLOAT, hard=array(FLOAT), soft=optional(array(FLOAT)),
    ),
    key=("round_id", "text_id"),
    partition=("round_id",),
    comment="The rows of a round, copied. hard: 0, 1 or null (not known) a label; soft: the teacher's logits.",
)  # fmt: skip
ROUNDS = Table(
    "rounds",
    columns(
        round_id=STRING, task=STRING, student=STRING, number=INT, model_id=STRING, teacher_id=STRING,
        sampling=STRING, scheme=STRING, seed=LONG,
        layout=struct(train=WINDOW, threshold=WINDOW, test=WINDOW, gate=WINDOW), inputs=mapping(STRING, LONG),
        row_counts=mapping(STRING, LONG),
        metrics=array(struct(model=STRING, gold=STRING, part=STRING, precision=DOUBLE, recall=DOUBLE, f1=DOUBLE)),
        losses=array(DOUBLE), decision=STRING, next_sampling=optional(STRING), reason=STRING, settings=STRING,
        seconds=DOUBLE, run_id=STRING,
        figures=optional(
            array(
                struct(
                    model=STRING, gold=STRING, part=STRING, weight=STRING, average=STRING, labels=INT,
                    labels_left_out=INT, precision=DOUBLE, recall=DOUBLE, f1=DOUBLE,
                )
            )
        ),
        trust=optional(mapping(STRING, DOUBLE)),
    ),
    key=("round_id",),
    comment="One row a finished round: what it read, how it went, what was decided and why. figures: average is macro, "
    "micro or positives (of a task's only label, which is no average); weight is what counts once: an occurrence, a "
    "text, or a row that annotators labelled; part is of the texts drawn by hash of the test days: test_unseen and "
    "test_seen in training, test both, or test_chosen, scored for other reasons. metrics: of these macro or positives, "
    "by occurrence. In a row of an earlier version figures is null and metrics are of all scored texts. trust: how far "
    "the teacher taught each label (label_trust), 0 to 1; null or empty: all the way.",
)  # fmt: skip
MODELS = Table(
    "models",
    columns(
        model_id=STRING, task=STRING, kind=STRING, role=STRING, labels=array(STRING), teacher_id=optional(STRING),
        round_id=optional(STRING), path=STRING, digests=mapping(STRING, STRING), clean_version=STRING,
        settings=STRING, created_at=TIMESTAMP, run_id=STRING, base=optional(STRING),
    ),
    key=("model_id",),
    comment="Students, teachers, and the small BERTs that teachers begin as (role base, of the task *, no labels). "
    "labels is the only order of any score array of the model. base: what a teacher began as. A teacher of the kind "
    "external has scores from outside, and no path.",
)  # fmt: skip
STUDENT_SCORES = Table(
    "student_scores",
    columns(
        text_id=STRING, dt=DATE, model_id=STRING, scene=STRING, probs=optional(array(FLOAT)),
        error=optional(STRING), clean_version=STRING,
    ),
    key=("text_id", "model_id"),
    partition=("dt", "model_id"),
    comment="A student's probabilities. Facts, never decisions.",
)  # fmt: skip
THRESHOLDS = Table(
    "thresholds",
    columns(
        model_id=STRING, label=STRING, scene=STRING, version=INT, value=DOUBLE, method=STRING, gold=STRING,
        first_dt=optional(DATE), last_dt=optional(DATE), positives=optional(LONG), precision=optional(DOUBLE),
        recall=optional(DOUBLE), worst_precision=optional(DOUBLE), worst_recall=optional(DOUBLE),
        precision_low=optional(DOUBLE), precision_high=optional(DOUBLE), recall_low=optional(DOUBLE),
        recall_high=optional(DOUBLE), created_at=TIMESTAMP, run_id=STRING,
    ),
    key=("model_id", "label", "scene", "version"),
    comment="Thresholds of teachers and students; scene * stands for every scene without its own.",
)  # fmt: skip
PROMOTIONS = Table(
    "promotions",
    columns(
        task=STRING, from_ts=TIMESTAMP, model_id=STRING, threshold_version=INT, reason=STRING, run_id=STRING,
        action=optional(STRING), withheld=optional(array(STRING)),
    ),
    key=("task", "from_ts"),
    comment="Which model and thresholds are in force from when; a rollback is another row. action: promote, force or "
    "rollback. withheld: labels that are not decided, so that no row means nothing of them.",
    append_only=True,
)  # fmt: skip
LABELS = Table(
    "labels",
    columns(
        text_id=STRING, dt=DATE, task=STRING, label=STRING, scene=STRING, score=optional(FLOAT),
        threshold=optional(DOUBLE), model_id=STRING, threshold_version=INT, rule=optional(STRING),
    ),
    key=("text_id", "task", "label"),
    partition=("dt", "task"),
    comment="Positives only; no row in a decided day means negative. rule: the rule that settled the text, if one did.",
)  # fmt: skip
EVALUATIONS = Table(
    "evaluations",
    columns(
        round_id=STRING, model_id=STRING, dt=DATE, scene=STRING, label=STRING, gold=STRING, purpose=STRING,
        tp=LONG, fp=LONG, fn=LONG, tn=LONG, precision=optional(DOUBLE), recall=optional(DOUBLE),
        f1=optional(DOUBLE), run_id=STRING, text_tp=optional(LONG), text_fp=optional(LONG), text_fn=optional(LONG),
        text_tn=optional(LONG),
    ),
    key=("round_id", "model_id", "dt", "scene", "label", "gold", "purpose"),
    partition=("round_id",),
    comment="Agreement with the teacher or with humans, a row a day, scene and label, counted by occurrence; text_tp "
    "and so on by distinct text. precision, recall and f1 are null where the gold holds nowhere. purpose: a part of "
    "the test days as in rounds.figures, or gate or live: unseen texts of the gate days drawn "
    "by hash; or held_out: annotated texts that a teacher and the undistilled student have not seen, by distinct text.",
)  # fmt: skip
LABEL_TRUST = Table(
    "label_trust",
    columns(
        model_id=STRING, label=STRING, trust=DOUBLE, teacher_f1=DOUBLE, student_f1=DOUBLE, low=DOUBLE, high=DOUBLE,
        texts=LONG, positives=LONG, run_id=STRING,
    ),
    key=("model_id", "label"),
    partition=("model_id",),
    comment="How far a teacher teaches a label: 0 to 1, by how surely it beats the student that learnt from the same "
    "annotations without it, on annotated texts that neither has seen; low and high: the 90% interval of their F1s' "
    "difference.",
)  # fmt: skip
COMPARISONS = Table(
    "comparisons",
    columns(
        run_id=STRING, task=STRING, round_id=STRING, teacher_id=STRING, student=STRING, scheme=STRING,
        settings=STRING, seed=LONG, test_rows=LONG,
        measures=array(struct(gold=STRING, average=STRING, precision=DOUBLE, recall=DOUBLE, f1=DOUBLE)),
        coverage=optional(DOUBLE), teacher_f1=optional(DOUBLE), parameters=LONG, bundle_bytes=LONG,
        seconds=DOUBLE, rows_per_s=optional(DOUBLE), losses=array(DOUBLE), validation=array(DOUBLE),
    ),
    key=("run_id", "task", "student", "scheme", "seed"),
    comment="Students and schemes trained on one and the same round, and what each came to on the test days.",
)  # fmt: skip
RUNS = Table(
    "runs",
    columns(
        run_id=STRING, job=STRING, arguments=STRING, settings_digest=STRING, code_version=STRING,
        clean_version=STRING, inputs=mapping(STRING, LONG), outputs=mapping(STRING, LONG),
        row_counts=mapping(STRING, LONG), started_at=TIMESTAMP, seconds=DOUBLE, outcome=STRING,
        reason=optional(STRING),
    ),
    key=("run_id",),
    comment="Every run that did something or failed.",
)  # fmt: skip

MADE_DAYS = Table(
    "made_days",
    columns(
        table_name=STRING, dt=DATE, part=STRING, decides=STRING, inputs=mapping(STRING, STRING), outputs=STRING,
        about=optional(STRING), made_at=TIMESTAMP, run_id=STRING,
    ),
    key=("table_name", "dt", "part", "made_at"),
    comment="What a day (of a task, of a model) of a table was made from; the newest row of a cell holds. inputs and "
    "outputs: signatures of the files.",
)  # fmt: skip
RAW_FILE_DAYS = Table(
    "raw_file_days",
    columns(path=STRING, dt=DATE, rows=LONG, signature=STRING, run_id=optional(STRING)),
    key=("path", "dt"),
    comment="Which days the rows of a file of raw_texts are of.",
)  # fmt: skip
ERASED = Table(
    "erased",
    columns(text_id=STRING, erased_at=TIMESTAMP, run_id=STRING),
    key=("text_id",),
    comment="Texts that were erased, by the digest of their source and its own id, and are not loaded again.",
)

ALL: tuple[Table, ...] = (
    RAW_TEXTS, REJECTED, LOADS, TEXTS, ANNOTATIONS, TEACHER_SCORES, ROUND_SAMPLES, ROUNDS, MODELS, STUDENT_SCORES,
    THRESHOLDS, PROMOTIONS, LABELS, EVALUATIONS, LABEL_TRUST, COMPARISONS, RUNS, MADE_DAYS, RAW_FILE_DAYS,
    ERASED,
)  # fmt: skip
BY_NAME = {table.name: table for table in ALL}
