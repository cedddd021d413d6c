"""What the demo corpus is made with: how much of it, of which days, with how much noise."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from models.tasks import Frozen, Share


class ChatNoise(Frozen):
    """How pupils type. Each rate is the share of chat texts it touches."""

    repeated_marks: Share = 0.10  # 好的 -> 好的!!!!
    typo: Share = 0.03  # one character by a homophone, as pinyin keyboards do
    full_width: Share = 0.01  # abc -> ａｂｃ
    upper_case: Share = 0.05  # app -> APP, only where there are Latin letters
    zero_width: Share = 0.005


class SpeechNoise(Frozen):
    """How speech recognition errs. Rates ending in `_char` are per character, the others per text."""

    homophone_char: Share = 0.025
    drop_char: Share = 0.006
    double_char: Share = 0.006
    filler: Share = 0.25  # 嗯, 那个, 就是 at the start or inside
    marks: Share = 0.04  # commas, quotes or a line break from the recogniser's formatting


class PhotoNoise(Frozen):
    """How character recognition errs. Rates ending in `_char` are per character, the others per text."""

    glyph_char: Share = 0.015
    broken_line: Share = 0.15
    stray_space: Share = 0.12


class AnnotationSettings(Frozen):
    """How annotators are given texts, and how they err.

    Shares named `…_per_label` are of `CorpusSettings.annotations_per_label`.
    """

    days_share: Annotated[float, Field(gt=0, le=1)] = 0.45  # only texts of the first days are annotated
    positives_per_label: Share = 0.75
    near_per_label: Share = 0.25  # negatives that share the label's words
    random_per_label: Share = 0.40
    annotators: Annotated[int, Field(ge=2, le=9)] = 3
    second_share: Share = 0.05  # texts that a second annotator sees too
    wrong_share: Share = 0.03  # values that are wrong
    by_text_share: Share = 0.10  # texts delivered by source and text, without an id
    unmatched: Annotated[int, Field(ge=0)] = 5  # texts per task that point to an id nobody has


class CorpusSettings(Frozen):
    """Everything the demo corpus depends on; the same settings give the same bytes.

    `texts` counts the records of all three files, broken ones included. `processes` (0: all cores) changes
    the time it takes and nothing else.
    """

    seed: Annotated[int, Field(ge=0)] = 1
    texts: PositiveInt = 200_000
    days: Annotated[int, Field(ge=1, le=3660)] = 63
    last_day: date = date(2026, 3, 1)
    processes: Annotated[int, Field(ge=0)] = 0
    speech_share: Share = 0.25
    photo_share: Share = 0.15  # the chat has the rest
    label_scale: PositiveFloat = 1.0  # multiplies how often every label occurs
    composed_share: Share = 0.08  # texts made of two utterances in a row
    broken_share: Annotated[float, Field(ge=0, le=0.2)] = 0.0015
    annotations_per_label: PositiveInt = 400
    annotation: AnnotationSettings = AnnotationSettings()
    chat: ChatNoise = ChatNoise()
    speech: SpeechNoise = SpeechNoise()
    photo: PhotoNoise = PhotoNoise()

    @model_validator(mode="after")
    def _shares_leave_room(self) -> CorpusSettings:
        if self.speech_share + self.photo_share > 1:
            raise ValueError("speech_share and photo_share together must not pass 1: the chat has the rest")
        if self.label_scale > 3:
            raise ValueError("label_scale must not pass 3: past that, labels crowd out the rest")
        return self

    @property
    def all_days(self) -> tuple[date, ...]:
        """The days of the corpus, in order."""
        return tuple(self.last_day - timedelta(days=back) for back in range(self.days - 1, -1, -1))

    @property
    def annotated_days(self) -> tuple[date, ...]:
        """The first days, whose texts may be annotated; never none."""
        return self.all_days[: max(1, round(self.days * self.annotation.days_share))]
