"""Records of annotations in the shapes that people and tools give them, as answers: who said what of which labels."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from udfs.annotation_settings import COLUMNS, AnnotationColumn, AnnotationSettings, Shape
from udfs.annotation_values import Pairs, is_blank, label_names, listed, refuse_parts, several, truth
from udfs.labelled_files import TOOLS_LISTS
from udfs.readers.record_spans import RejectedError

Record = Mapping[str, Any]


class Said(NamedTuple):
    """A label by the file's name, and whether it holds; the task only where the record tells it."""

    label: Any
    holds: bool
    task: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What an annotator said of a text.

    Attributes:
        values: The record's values under our names.
        said: Of which labels.
        whole: Whether that is all there is to say, so that the labels which are not among it are unlisted.
        asked: The labels that were asked about, by the file's names; None: all of the task.
    """

    values: Mapping[AnnotationColumn, Any]
    said: tuple[Said, ...]
    whole: bool = False
    asked: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Shaping:
    """How records become answers.

    Attributes:
        settings: The files' names for ours.
        labels: Of each task.
        headed: Whether all records of the file have the same columns.
    """

    settings: AnnotationSettings
    labels: Mapping[str, Collection[str]]
    headed: bool

    def known(self, name: Any, task: Any = None) -> bool:
        """Whether a file's name is a label's, of the task or of any."""
        tasks = [self.labels[task]] if isinstance(task, str) and task in self.labels else [*self.labels.values()]
        for spelt in label_names(name):
            ours = self.settings.labels.get(spelt, spelt)
            if ours is None or any(ours in labels for labels in tasks):
                return True
        return False

    def named(self, record: Record) -> dict[AnnotationColumn, Any]:
        """A record's values under our names; what no mapping mentions keeps its name."""
        values = {ours: record.get(self.settings.columns.get(ours, ours)) for ours in COLUMNS}
        return values | dict(self.settings.constants)

    def gives(self, ours: AnnotationColumn, record: Record) -> bool:
        """Whether the settings or the record speak of a column."""
        return ours in self.settings.constants or ours in self.settings.columns or ours in record

    def label_columns(self, record: Record) -> tuple[str, ...]:
        """The columns of the wide form that a record has."""
        task = self.named(record)["task"]
        taken = {*COLUMNS, *self.settings.columns.values()} - {*self.settings.labels}
        return tuple(name for name in record if name not in taken and self.known(name, task))


def answers(record: Record, shaping: Shaping) -> list[Answer]:
    """The answers in a record; none where nobody was asked or nobody said anything.

    Raises:
        RejectedError: with `label_of_part`, `wrong_value`, `wrong_type` or `unknown_label`.
    """
    return list(_SHAPES[shaping.settings.shape or recognised(record, shaping)](record, shaping))


def recognised(record: Record, shaping: Shaping) -> Shape:
    """The shape that a record cannot be mistaken for, else `long`."""
    if isinstance(record.get("annotations"), list) and isinstance(record.get("data"), Mapping):
        return "label_studio"
    if "entities" in record and not shaping.gives("value", record):
        return "doccano"
    if not shaping.gives("label", record):
        if any(isinstance(record.get(name), list | Mapping) for name in TOOLS_LISTS):
            return "doccano"
        return "wide" if shaping.label_columns(record) else "long"
    values = shaping.named(record)
    told = shaping.headed and not shaping.gives("value", record)
    from_tool = {"annotation_id", "lead_time"} <= {*record}
    return "list" if told or from_tool or several(values["label"], _knows(shaping, values)) else "long"


def _knows(shaping: Shaping, values: Mapping[AnnotationColumn, Any]) -> Callable[[str], bool]:
    return lambda name: shaping.known(name, values["task"])


def _long(record: Record, shaping: Shaping) -> Iterator[Answer]:
    values = shaping.named(record)
    if is_blank(values["label"]):
        raise RejectedError("unknown_label", f"no label: {_lacks('label', shaping)}")
    if not shaping.known(values["label"], values["task"]):
        raise RejectedError("unknown_label", "no such label of such a task is in the settings")
    if not shaping.gives("value", record):
        raise RejectedError("wrong_value", f"no value: {_lacks('value', shaping)}, nor is shape: list")
    yield Answer(values, (Said(values["label"], truth(values["value"])),))


def _lacks(ours: AnnotationColumn, shaping: Shaping) -> str:
    """What a record would need to give a value of ours."""
    return f"neither a column {shaping.settings.columns.get(ours, ours)} nor annotations.constants.{ours} gives any"


def _list(record: Record, shaping: Shaping) -> Iterator[Answer]:
    values = shaping.named(record)
    if {"annotation_id", "lead_time"} <= {*record} and not shaping.gives("annotated_at", record):
        values["annotated_at"] = record.get("updated_at") or record.get("created_at")
    if not shaping.gives("label", record):
        raise RejectedError("unknown_label", f"no label: {_lacks('label', shaping)}")
    yield from _of_cell(values["label"], values, record, shaping)


def _of_cell(cell: Any, values: Mapping[AnnotationColumn, Any], record: Record, shaping: Shaping) -> Iterator[Answer]:
    """The answer that a cell of labels is; none where it is empty."""
    pairs: Pairs | None = listed(cell, shaping.settings.list_separator, _knows(shaping, values))
    if pairs is None:
        return
    if is_blank(values["text"]) and isinstance(record.get("data"), str):
        values = {**values, "text": record["data"]}  # as doccano calls it
    holds = truth(values["value"]) if shaping.gives("value", record) else True
    yield Answer(values, tuple(Said(label, value and holds) for label, value in pairs), whole=holds)


def _wide(record: Record, shaping: Shaping) -> Iterator[Answer]:
    columns = shaping.label_columns(record)
    if not columns:
        raise RejectedError("unknown_label", "no column is called as a label of the settings")
    said = tuple(Said(name, truth(record[name])) for name in columns if not is_blank(record[name]))
    if said:
        yield Answer(shaping.named(record), said, whole=True, asked=columns)


def _doccano(record: Record, shaping: Shaping) -> Iterator[Answer]:
    if record.get("entities"):
        raise RejectedError("label_of_part", "labels of parts of the text; only labels of whole texts are taken")
    values = shaping.named(record)
    cell = values["label"] if "label" in {*shaping.settings.columns, *shaping.settings.constants} else None
    cells = [cell, *(record.get(name) for name in TOOLS_LISTS)] if cell is None else [cell]
    yield from _of_cell(next((one for one in cells if not is_blank(one)), None), values, record, shaping)


def _label_studio(task: Record, shaping: Shaping) -> Iterator[Answer]:
    data, annotations = task.get("data"), task.get("annotations")
    if not isinstance(data, Mapping) or not isinstance(annotations, list):
        raise RejectedError("wrong_type", "no task of Label Studio: it has data, and a list of annotations")
    for annotation in annotations:
        if not isinstance(annotation, Mapping):
            raise RejectedError("wrong_type", "an annotation is no object")
        if annotation.get("was_cancelled"):
            continue  # the annotator skipped the task
        spoken = annotation.get("updated_at") or annotation.get("created_at")
        own = {"annotator": _person(annotation.get("completed_by")), "annotated_at": spoken}
        named = {theirs: (annotation.get(theirs), task.get(theirs)) for theirs in shaping.settings.columns.values()}
        # Its own `task` and `id` are numbers of the tool, which mean nothing unless the settings name them.
        values = shaping.named({**{theirs: a or t for theirs, (a, t) in named.items()}, **own, **data})
        said = tuple(_choices(annotation.get("result"), shaping))
        holds = truth(values["value"]) if shaping.gives("value", {}) else True
        yield Answer(values, tuple(one._replace(holds=holds) for one in said), whole=holds)


def _person(completed_by: Any) -> Any:
    """Whoever completed an annotation: a number, or an object with the ways to name a person."""
    if isinstance(completed_by, Mapping):
        named = (completed_by.get(key) for key in ("email", "username", "id"))
        return next((name for name in named if name), None)
    return completed_by


def _choices(result: Any, shaping: Shaping) -> Iterator[Said]:
    """The choices of an annotation, and the leaves of a taxonomy; of one control, where `columns.label` names it.

    A control that is called as a task is of that task.
    """
    control = shaping.settings.columns.get("label")
    for region in result if isinstance(result, list) else []:
        value = region.get("value") if isinstance(region, Mapping) else None
        if not isinstance(value, Mapping):
            raise RejectedError("wrong_type", "a result without a value")
        name = region.get("from_name")
        if control is not None and name != control:
            continue
        if "labels" in str(region.get("type")).lower() or ("choices" in value and "start" in value):
            refuse_parts([[value]])
        choices = value.get("choices", ())  # ratings, comments and the like say nothing of labels
        leaves = [path[-1] if isinstance(path, list) and path else path for path in value.get("taxonomy") or ()]
        for label in [*([choices] if isinstance(choices, str) else choices), *leaves]:
            yield Said(label, True, name if isinstance(name, str) and name in shaping.labels else None)


_SHAPES: Mapping[Shape, Callable[[Record, Shaping], Iterator[Answer]]] = {
    "long": _long, "list": _list, "wide": _wide, "label_studio": _label_studio, "doccano": _doccano,
}  # fmt: skip
