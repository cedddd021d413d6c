"""Draws what a scene's texts of one day mean, and words it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from itertools import accumulate
from random import Random

from jobs.demo.clusters import CHAT, SCENES, SPEECH, Cluster, Family, compatible, with_required
from jobs.demo.corpus_settings import CorpusSettings
from jobs.demo.grammar import Choice, Draw, Grammar, expand
from jobs.demo.noise import chat_noise, photo_noise, speech_noise
from jobs.demo.phrases.everyday import EVERYDAY
from jobs.demo.phrases.fairness_and_thanks import ESTEEM
from jobs.demo.phrases.faults import FAULTS
from jobs.demo.phrases.feedback import FEEDBACK
from jobs.demo.phrases.lessons import LESSONS
from jobs.demo.phrases.near_feedback import NEAR_FEEDBACK
from jobs.demo.phrases.near_praise import NEAR_PRAISE
from jobs.demo.phrases.praise import PRAISE
from jobs.demo.phrases.slots import SLOTS
from jobs.demo.phrases.symbols import FLOWERS, SYMBOLS
from jobs.demo.seasons import topic_factor

LABELLED: tuple[Family, ...] = (*PRAISE, *ESTEEM, *FEEDBACK, *FAULTS, *FLOWERS)
FIXED_RATE: tuple[Family, ...] = (*LABELLED, *NEAR_PRAISE, *NEAR_FEEDBACK, *SYMBOLS)
FILLING: tuple[Family, ...] = (*EVERYDAY, *LESSONS)
FAMILIES: tuple[Family, ...] = (*FIXED_RATE, *FILLING)
CLUSTERS: tuple[Cluster, ...] = tuple(cluster for family in FAMILIES for cluster in family.clusters)

_JOINTS = {CHAT: ("，", " ", "。", "！", ""), SPEECH: ("", " "), SCENES[2]: ("\n", " ")}


@dataclass(frozen=True, slots=True)
class Wording:
    """One text: what it says, what it means, and the clusters (places in `CLUSTERS`) it was drawn from."""

    text: str
    labels: frozenset[str]
    clusters: tuple[int, ...]


@lru_cache(maxsize=1)
def grammars() -> tuple[Choice, ...]:
    """Every cluster's templates, compiled; once per process."""
    grammar = Grammar(SLOTS)
    return tuple(grammar.choice(cluster.templates) for cluster in CLUSTERS)


def mix(scene: str, day: date, label_scale: float) -> tuple[float, ...]:
    """Running totals of the clusters' shares of a scene's texts on one day; the last is 1 (within rounding).

    Labels, their competitive negatives and symbols have rates of their own, moved by the calendar; everyday
    talk shares what they leave, in its own proportions.
    """
    index = SCENES.index(scene)
    fixed = [f.rates[index] * topic_factor(f.topic, day) for f in FIXED_RATE]
    fixed = [rate * (label_scale if f in LABELLED else 1.0) for rate, f in zip(fixed, FIXED_RATE, strict=True)]
    spoken = [f.rates[index] * topic_factor(f.topic, day) for f in FILLING]
    rest = max(0.0, 1.0 - sum(fixed)) / sum(spoken)
    rates = [*fixed, *(rate * rest for rate in spoken)]
    shares = [rate * share for rate, f in zip(rates, FAMILIES, strict=True) for share in f.weights(scene)]
    total = sum(shares)
    return tuple(running / total for running in accumulate(shares))


def compose(scene: str, day: date, count: int, settings: CorpusSettings, random: Random) -> list[Wording]:
    """`count` texts of one scene and day, noise included."""
    running = mix(scene, day, settings.label_scale)
    places = range(len(CLUSTERS))
    firsts = random.choices(places, cum_weights=running, k=count)
    seconds = random.choices(places, cum_weights=running, k=count)
    draw = random.random
    wordings = []
    for first, second in zip(firsts, seconds, strict=True):
        chosen = (first, second) if draw() < settings.composed_share and _joinable(first, second) else (first,)
        wordings.append(_worded(chosen, scene, settings, draw))
    return wordings


def _joinable(first: int, second: int) -> bool:
    a, b = CLUSTERS[first], CLUSTERS[second]
    return not a.alone and not b.alone and first != second and compatible(frozenset(a.labels) | frozenset(b.labels))


def _worded(chosen: tuple[int, ...], scene: str, settings: CorpusSettings, draw: Draw) -> Wording:
    choices = grammars()
    text = expand(choices[chosen[0]], draw)
    labels = CLUSTERS[chosen[0]].labels
    if len(chosen) > 1:
        joints = _JOINTS[scene]
        text = f"{text}{joints[int(draw() * len(joints))]}{expand(choices[chosen[1]], draw)}"
        labels = (*labels, *CLUSTERS[chosen[1]].labels)
    if not CLUSTERS[chosen[0]].alone:
        text = _noisy(text, scene, settings, draw)
    return Wording(text, with_required(labels), chosen)


def _noisy(text: str, scene: str, settings: CorpusSettings, draw: Draw) -> str:
    if scene == CHAT:
        return chat_noise(text, settings.chat, draw)
    if scene == SPEECH:
        return speech_noise(text, settings.speech, draw)
    return photo_noise(text, settings.photo, draw)
