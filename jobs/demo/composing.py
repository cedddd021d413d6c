"""Draws what a scene's texts of one day mean, and words it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from functools import cache
from itertools import accumulate
from random import Random

from jobs.demo.clusters import CHAT, PHOTO, SPEECH, Cluster, Family, compatible, with_required
from jobs.demo.corpus_plan import topic_factor
from jobs.demo.corpus_settings import CorpusSettings
from jobs.demo.grammar import Choice, Draw, Grammar, expand
from jobs.demo.noise import chat_noise, photo_noise, speech_noise
from jobs.demo.phrase_files import read_families, read_slots
from models.errors import SettingsError

# The files of phrases by what becomes of their families' rates, in the order that places of clusters count in.
LABELLED = ("praise", "fairness_and_thanks", "feedback", "faults", "flowers")  # scaled by `label_scale`
UNLABELLED = ("near_praise", "near_feedback", "symbols")  # as they stand
EVERYDAY = ("everyday", "lessons")  # relative to each other: they share what the others leave

_JOINTS = {CHAT: ("，", " ", "。", "！", ""), SPEECH: ("", " "), PHOTO: ("\n", " ")}


@dataclass(frozen=True, slots=True)
class Wording:
    """One text: what it says, what it means, and the clusters (places in `all_clusters()`) it was drawn from."""

    text: str
    labels: frozenset[str]
    clusters: tuple[int, ...]


@cache
def all_families() -> tuple[Family, ...]:
    """Every family of the corpus."""
    return _families_of((*LABELLED, *UNLABELLED, *EVERYDAY))


@cache
def all_clusters() -> tuple[Cluster, ...]:
    """Every cluster of the corpus, family by family.

    Raises:
        SettingsError: Two have the same name.
    """
    ordered = tuple(cluster for family in all_families() for cluster in family.clusters.values())
    names = [cluster.name for cluster in ordered]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise SettingsError(f"jobs/demo/phrases: clusters named twice: {', '.join(repeated)}; rename one of each")
    return ordered


@cache
def grammars() -> tuple[Choice, ...]:
    """Every cluster's templates, compiled; once per process.

    Raises:
        SettingsError: A template is malformed or names a slot that is not there.
    """
    grammar = Grammar(read_slots())
    return tuple(_compiled(grammar, cluster) for cluster in all_clusters())


def _compiled(grammar: Grammar, cluster: Cluster) -> Choice:
    try:
        return grammar.choice(cluster.templates)
    except ValueError as error:
        raise SettingsError(f"jobs/demo/phrases: cluster {cluster.name}: {error}; mend the template") from None


def _families_of(files: Iterable[str]) -> tuple[Family, ...]:
    return tuple(family for file in files for family in read_families(file))


def mix(scene: str, day: date, label_scale: float) -> tuple[float, ...]:
    """Running totals of the clusters' shares of a scene's texts on one day; the last is 1 (within rounding).

    Labels, their competitive negatives and symbols have rates of their own, moved by the calendar; everyday
    talk shares what they leave, in its own proportions.
    """
    fixed = [rate * label_scale for rate in _rates(LABELLED, scene, day)] + _rates(UNLABELLED, scene, day)
    filling = _rates(EVERYDAY, scene, day)
    rest = max(0.0, 1.0 - sum(fixed)) / sum(filling)
    rates = [*fixed, *(rate * rest for rate in filling)]
    shares = [
        rate * share for rate, family in zip(rates, all_families(), strict=True) for share in family.weights(scene)
    ]
    total = sum(shares)
    return tuple(running / total for running in accumulate(shares))


def _rates(files: Iterable[str], scene: str, day: date) -> list[float]:
    return [family.rates.get(scene, 0.0) * topic_factor(family.topic, day) for family in _families_of(files)]


def compose(scene: str, day: date, count: int, settings: CorpusSettings, random: Random) -> list[Wording]:
    """`count` texts of one scene and day, noise included."""
    running = mix(scene, day, settings.label_scale)
    places = range(len(all_clusters()))
    firsts = random.choices(places, cum_weights=running, k=count)
    seconds = random.choices(places, cum_weights=running, k=count)
    draw = random.random
    wordings = []
    for first, second in zip(firsts, seconds, strict=True):
        chosen = (first, second) if draw() < settings.composed_share and _joinable(first, second) else (first,)
        wordings.append(_worded(chosen, scene, settings, draw))
    return wordings


def _joinable(first: int, second: int) -> bool:
    a, b = all_clusters()[first], all_clusters()[second]
    return not a.alone and not b.alone and first != second and compatible(frozenset(a.labels) | frozenset(b.labels))


def _worded(chosen: tuple[int, ...], scene: str, settings: CorpusSettings, draw: Draw) -> Wording:
    choices = grammars()
    first = all_clusters()[chosen[0]]
    text = expand(choices[chosen[0]], draw)
    labels = first.labels
    if len(chosen) > 1:
        joints = _JOINTS[scene]
        text = f"{text}{joints[int(draw() * len(joints))]}{expand(choices[chosen[1]], draw)}"
        labels = (*labels, *all_clusters()[chosen[1]].labels)
    if not first.alone:
        text = _noisy(text, scene, settings, draw)
    return Wording(text, with_required(labels), chosen)


def _noisy(text: str, scene: str, settings: CorpusSettings, draw: Draw) -> str:
    if scene == CHAT:
        return chat_noise(text, settings.chat, draw)
    if scene == SPEECH:
        return speech_noise(text, settings.speech, draw)
    return photo_noise(text, settings.photo, draw)
