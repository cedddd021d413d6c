"""Emoji and symbol rules: texts that need no model, settled where they are cleaned."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, PositiveInt, StringConstraints, field_validator, model_validator

from models import digests
from models.settings_base import Frozen, Name
from models.tasks import EVERY_TASK
from models.text.characters import UNICODE_VERSION
from models.text.normalisation import CLEANER_VERSION, clean
from models.text.patterns import by_pinned_unicode
from models.text.speech import Step, bracket_stripper, repeat_folder, tag_stripper

Tag = Annotated[str, StringConstraints(min_length=1, max_length=32, pattern=r"^[^\[\](){}<>]*\S[^\[\](){}<>]*$")]


class RuleSettings(Frozen):
    """A pattern over the whole clean text, and what it settles.

    `useless` says that the text means nothing, `negative` that no label of the task holds, `positive` that `label`
    holds. A settled text is never scored for its task.
    """

    name: Name = Field(description="What settled texts name as their reason.")
    pattern: str = Field(
        description="A regular expression over the whole clean text. `\\w` and `\\d` are those of the pinned version "
        "of Unicode; `\\b`, and `\\W` within brackets, those of the running Python."
    )
    outcome: Literal["useless", "negative", "positive"] = Field(description="What it settles.")
    task: str = Field(EVERY_TASK, description="The task it settles; `*` for every task.")
    label: str | None = Field(None, description="The label that holds, of a positive rule.")

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from None
        return value

    @model_validator(mode="after")
    def _positive_names_a_label(self) -> RuleSettings:
        if (self.outcome == "positive") != (self.label is not None):
            raise ValueError("a positive rule names its label, and only a positive one")
        if self.outcome == "positive" and self.task == EVERY_TASK:
            raise ValueError("a positive rule names its task")
        return self


class CleaningSettings(Frozen):
    """How texts are cleaned, and which are settled by rule. The first matching rule of a task wins.

    All of it is part of the `clean_version`.
    """

    max_chars: PositiveInt = Field(256, description="Longer texts are cut to this many characters.")
    strip_tags: bool = Field(False, description="Takes out marks of speech recognisers, such as `<|zh|>`.")
    bracket_tags: tuple[Tag, ...] = Field(
        (), description="Words that are such marks where they stand in brackets: `noise` takes out `[noise]`."
    )
    fold_repeats: int = Field(
        0, ge=0, le=20, description="Keeps a phrase at most so many times in a row; 0 keeps all of them."
    )
    rules: tuple[RuleSettings, ...] = Field((), description="Rules that settle texts, in their order.")

    @property
    def version(self) -> str:
        """The `clean_version`: names the cleaner and the rules that made a clean text."""
        made_by = {"cleaner": CLEANER_VERSION, "unicode": UNICODE_VERSION, "settings": self.model_dump(mode="json")}
        if pinned := [rule.name for rule in self.rules if by_pinned_unicode(rule.pattern) != rule.pattern]:
            made_by["pinned"] = pinned
        return digests.of_json(made_by, chars=12)

    @property
    def steps(self) -> tuple[Step, ...]:
        """What is done to a text beyond the cleaning of every text."""
        steps: list[Step] = []
        if self.strip_tags:
            steps.append(tag_stripper())
        if self.bracket_tags:
            steps.append(bracket_stripper(self.bracket_tags))
        if self.fold_repeats:
            steps.append(repeat_folder(self.fold_repeats))
        return tuple(steps)


@dataclass(frozen=True, slots=True)
class Settled:
    """A text's outcome for one task, or for `*`, by the named rule."""

    task: str
    label: str | None
    outcome: str
    rule: str


EMPTY = Settled(task=EVERY_TASK, label=None, outcome="useless", rule="empty")


class Cleaner:
    """Cleaning and rules together, compiled once per worker."""

    def __init__(self, settings: CleaningSettings) -> None:
        self.version = settings.version
        self._max_chars = settings.max_chars
        self._steps = settings.steps
        self._rules = [
            (re.compile(by_pinned_unicode(rule.pattern)), Settled(rule.task, rule.label, rule.outcome, rule.name))
            for rule in settings.rules
        ]
        self._sieves = _sieves([pattern for pattern, _ in self._rules])

    def clean(self, text: str) -> str:
        """The clean form of a text."""
        return clean(text, self._max_chars, self._steps)

    def settle(self, text: str) -> Sequence[Settled]:
        """What the rules say of a clean text: at most one outcome a task, none for most texts."""
        if not text:
            return (EMPTY,)
        if not any(sieve.fullmatch(text) for sieve in self._sieves):
            return ()
        by_task: dict[str, Settled] = {}
        for pattern, settled in self._rules:
            if settled.task not in by_task and EVERY_TASK not in by_task and pattern.fullmatch(text):
                by_task[settled.task] = settled
        return tuple(by_task.values())


def _sieves(patterns: Sequence[re.Pattern[str]]) -> list[re.Pattern[str]]:
    """Patterns of which one matches wherever one of the given does, as few as can be.

    One alternation tells most texts apart from every rule at once. A pattern with groups or flags would mean
    something else within it (a back reference counts the groups of the whole), so it stands for itself.
    """
    plain = [pattern for pattern in patterns if not pattern.groups and pattern.flags == re.UNICODE]
    joined = [re.compile("|".join(f"(?:{pattern.pattern})" for pattern in plain))] if plain else []
    return joined + [pattern for pattern in patterns if pattern not in plain]
