"""The words of the corpus: tasks, labels, scenes, and the clusters of paraphrases that texts come from."""

from __future__ import annotations

from dataclasses import dataclass

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

ALL = "csp"  # letters of the scenes a cluster occurs in: chat, speech, photo


@dataclass(frozen=True, slots=True)
class Cluster:
    """One way to mean something: a few templates that paraphrase each other.

    Attributes:
        name: Unique in the corpus.
        templates: See `jobs.demo.grammar`; all as likely.
        labels: What every text of the cluster means; empty for everyday talk.
        scenes: Letters of the scenes it occurs in (`ALL`).
        near: Labels whose words it shares without their meaning: a competitive negative.
        held_out: Its texts are never given to annotators.
        settled: A rule of the cleaning settles its texts, so annotators never see them.
        alone: Its texts are never joined to another.
        weight: Its share within its family; None: by its rank, as Zipf has it.
    """

    name: str
    templates: tuple[str, ...]
    labels: tuple[str, ...] = ()
    scenes: str = ALL
    near: tuple[str, ...] = ()
    held_out: bool = False
    settled: bool = False
    alone: bool = False
    weight: float | None = None


@dataclass(frozen=True, slots=True)
class Family:
    """Clusters that share one rate: all ways of one label, or one kind of everyday talk, most frequent first.

    Attributes:
        name: A label, or `near_…`, or a kind of everyday talk.
        rates: Share of the texts of chat, speech and photo on an average day. Everyday talk fills the rest:
            there the rates are relative to each other.
        clusters: In order of frequency.
        topic: What the calendar knows it by (`jobs.demo.seasons`); empty: the same every day.
    """

    name: str
    rates: tuple[float, float, float]
    clusters: tuple[Cluster, ...]
    topic: str = ""

    def weights(self, scene: str) -> list[float]:
        """The share of each cluster in one scene: zero where it does not occur, else summing to one."""
        letter = "csp"[SCENES.index(scene)]
        ranked = [c for c in self.clusters if letter in c.scenes]
        raw = {c.name: c.weight or 1 / rank**1.1 for rank, c in enumerate(ranked, start=1)}
        total = sum(raw.values()) or 1.0
        return [raw.get(c.name, 0.0) / total for c in self.clusters]


def with_required(labels: tuple[str, ...]) -> frozenset[str]:
    """The labels and all they require."""
    return frozenset(labels) | {REQUIRES[label] for label in labels if label in REQUIRES}


def compatible(labels: frozenset[str]) -> bool:
    """Whether the labels may hold together: nobody asks for praise and reports it in one breath."""
    return not labels >= EXCLUSIVE
