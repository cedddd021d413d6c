"""The registry of student architectures: each kind's network, and how it is exported.

A new architecture is a module beside this one, its settings in `models/student_settings.py`, and one line in
`ARCHITECTURES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from models.student_settings import StudentKind, StudentSettings
from models.students.bow import BOW
from models.students.pair import Pair
from models.students.recurrent import Recurrent
from models.students.student import Student
from models.students.textcnn import TextCNN
from models.tasks import TaskKind

ExportForm = Literal["tables", "network"]
"""How a student is exported: `tables` as a folded graph, which the fused engine runs too; `network` as the graph of the
network itself."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """A student architecture.

    Attributes:
        network: Makes a fresh network from its settings, the vocabulary's size and the number of labels.
        exported_as: The form of its ONNX graph.
    """

    network: Callable[[Any, int, int], Student]
    exported_as: ExportForm


ARCHITECTURES: Mapping[StudentKind, Architecture] = {
    "textcnn": Architecture(TextCNN, "tables"),
    "bow": Architecture(BOW, "tables"),
    "bilstm": Architecture(Recurrent, "network"),
    "bigru": Architecture(Recurrent, "network"),
}


def build_student(
    settings: StudentSettings, vocabulary_size: int, labels: int, kind: TaskKind = "multi_label"
) -> Student:
    """A fresh student of the kind the settings ask for, initialised from torch's random state."""
    student = ARCHITECTURES[settings.kind].network(settings, vocabulary_size, labels)
    return Pair(student, settings.dropout) if kind == "pair" else student


def export_form(student: Student) -> ExportForm:
    """How a student is exported.

    By its very class: one derived from a registered network may differ from its parent's tables.
    """
    for architecture in ARCHITECTURES.values():
        if type(student) is architecture.network:
            return architecture.exported_as
    return "network"
