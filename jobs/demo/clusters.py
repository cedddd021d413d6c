"""The terms of the corpus: tasks, labels, scenes, and the clusters of paraphrases that texts come from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, NonNegativeFloat, PositiveFloat

from models.settings_base import Frozen

CHAT, SPEECH, PHOTO = "live_chat", "teacher_speech", "homework_photo"
SCENES = (CHAT, SPEECH, PHOTO)
SOURCES = {CHAT: "chat", SPEECH: "asr", PHOTO: "ocr"}

TASK_LABELS: dict[str, tuple[str, ...]] = {
    "praise": ("asks_praise", "got_praise", "complains_unfair", "thanks_teacher"),
    "feedback": ("complaint", "cannot_hear", "wants_refund", "asks_homework", "technical_problem"),
}
TASK_SCENES: dict[str, tuple[str, ...]] = {"praise": (CHAT, SPEECH), "feedback": SCENES}
REQUIRES = {"complains_unfair": "complaint", "wants_refund": "complaint"}
EXCLUSIVE = frozenset({"asks_praise", "got_praise"})


def by_name(entries: Any) -> Any:
    """Every entry of a mapping with its key as its `name`, as `Family` and `Cluster` have it."""
    if not isinstance(entries, Mapping):
        return entries
    return {key: {**entry, "name": key} if isinstance(entry, Mapping) else entry for key, entry in entries.items()}


def _among(names: Iterable[str]) -> Callable[[str], str]:
    known = tuple(names)

    def check(name: str) -> str:
        if name not in known:
            raise ValueError(f"expected one of {', '.join(known)}")
        return name

    return check


Scene = Annotated[str, AfterValidator(_among(SCENES))]
Label = Annotated[str, AfterValidator(_among(label for labels in TASK_LABELS.values() for label in labels))]
Template = Annotated[str, Field(min_length=1)]


class Cluster(Frozen):
    """One way to mean something: a few templates that paraphrase each other."""

    name: str = Field(description="Unique in the corpus.")
    templates: tuple[Template, ...] = Field(min_length=1, description="See `jobs.demo.grammar`; all as likely.")
    labels: tuple[Label, ...] = Field((), description="What every text of it means; empty for everyday talk.")
    scenes: tuple[Scene, ...] = Field(SCENES, min_length=1, description="Where it occurs.")
    near: tuple[Label, ...] = Field(
        (), description="Labels whose words it shares without their meaning: a competitive negative."
    )
    held_out: bool = Field(False, description="Its texts are never given to annotators.")
    settled: bool = Field(False, description="A rule of the cleaning settles its texts: annotators never see them.")
    alone: bool = Field(False, description="Its texts are never joined to another.")
    weight: PositiveFloat | None = Field(
        None, description="Its share within its family; None: by its rank, as Zipf has it."
    )


class Family(Frozen):
    """Clusters that share one rate: all ways of one label, or one kind of everyday talk."""

    name: str = Field(description="A label, or `near_…`, or a kind of everyday talk.")
    rates: dict[Scene, NonNegativeFloat] = Field(
        description="Share of each scene's texts on an average day, none where left out. Everyday talk fills the "
        "rest: there the rates are relative to each other."
    )
    clusters: Annotated[dict[str, Cluster], BeforeValidator(by_name)] = Field(
        min_length=1, description="By name, the most frequent first."
    )
    topic: str = Field("", description="What the calendar (`jobs.demo.corpus_plan`) knows it by; empty: no season.")

    def weights(self, scene: str) -> list[float]:
        """The share of each cluster in one scene: zero where it does not occur, else summing to one."""
        ranked = [cluster for cluster in self.clusters.values() if scene in cluster.scenes]
        raw = {cluster.name: cluster.weight or 1 / rank**1.1 for rank, cluster in enumerate(ranked, start=1)}
        total = sum(raw.values()) or 1.0
        return [raw.get(name, 0.0) / total for name in self.clusters]


def with_required(labels: tuple[str, ...]) -> frozenset[str]:
    """The labels and all they require."""
    return frozenset(labels) | {REQUIRES[label] for label in labels if label in REQUIRES}


def compatible(labels: frozenset[str]) -> bool:
    """Whether the labels may hold together: nobody asks for praise and reports it in one breath."""
    return not labels >= EXCLUSIVE
