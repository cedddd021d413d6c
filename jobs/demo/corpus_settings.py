"""What the demo corpus is made with: how much of it, of which days, with how much noise."""

from __future__ import annotations

from datetime import date, timedelta

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from models.settings_base import Frozen, Share


class ChatNoise(Frozen):
    """How pupils type. Each rate is the share of chat texts it touches."""

    repeated_marks: Share = Field(0.10, description="好的 -> 好的!!!!")
    typo: Share = Field(0.03, description="One character by a homophone, as pinyin keyboards do.")
    full_width: Share = Field(0.01, description="abc -> ａｂｃ")
    upper_case: Share = Field(0.05, description="app -> APP, only where there are Latin letters.")
    zero_width: Share = Field(0.005, description="One zero-width character inside.")


class SpeechNoise(Frozen):
    """How speech recognition errs. Rates ending in `_char` are per character, the others per text."""

    homophone_char: Share = Field(0.025, description="A character by a homophone.")
    drop_char: Share = Field(0.006, description="A character left out.")
    double_char: Share = Field(0.006, description="A character said twice.")
    filler: Share = Field(0.25, description="嗯, 那个, 就是 at the start or inside.")
    marks: Share = Field(0.04, description="Commas, quotes or a line break from the recogniser's formatting.")


class PhotoNoise(Frozen):
    """How character recognition errs. Rates ending in `_char` are per character, the others per text."""

    glyph_char: Share = Field(0.015, description="A character by one that looks like it.")
    broken_line: Share = Field(0.15, description="A line break inside.")
    stray_space: Share = Field(0.12, description="A space inside.")


class AnnotationSettings(Frozen):
    """How annotators are given texts, and how they err.

    Shares named `…_per_label` are of `CorpusSettings.annotations_per_label`.
    """

    days_share: float = Field(0.45, gt=0, le=1, description="The first days, most of what is annotated.")
    checked_days_share: Share = Field(
        1 / 3,
        description="The last days (three at least), of each of which a few texts are annotated too: models that "
        "learnt from the first ones are held to them.",
    )
    checked_per_label: int = Field(
        3,
        ge=0,
        description="Of each of the last days in place of `annotations_per_label`; 0: none. So few that a week "
        "of them is below `gate.min_positives`: what is drawn by label says little of precision.",
    )
    positives_per_label: Share = Field(0.75, description="Positives among the annotated texts.")
    near_per_label: Share = Field(0.25, description="Negatives that share the label's words.")
    random_per_label: Share = Field(0.40, description="Texts drawn at random.")
    annotators: int = Field(3, ge=2, le=9, description="How many annotate.")
    second_share: Share = Field(0.05, description="Texts that a second annotator sees too.")
    wrong_share: Share = Field(0.03, description="Values that are wrong.")
    by_text_share: Share = Field(0.10, description="Texts delivered by source and text, without an id.")
    unmatched: int = Field(5, ge=0, description="Texts of a task that point to an id nobody has.")


class CorpusSettings(Frozen):
    """Everything the demo corpus depends on; the same settings give the same bytes.

    `texts` counts the records of all three files, broken ones included. `processes` (0: all cores) changes
    the time it takes and nothing else.
    """

    seed: int = Field(1, ge=0, description="The same seed gives the same bytes.")
    texts: PositiveInt = Field(200_000, description="Records in all three files, broken ones included.")
    days: int = Field(63, ge=1, le=3660, description="Days they spread over.")
    last_day: date = Field(date(2026, 3, 1), description="The last of them.")
    processes: int = Field(0, ge=0, description="0: one a core. Changes the time only.")
    speech_share: Share = Field(0.25, description="Share of teachers' speech.")
    photo_share: Share = Field(0.15, description="Share of homework photos; the chat has the rest.")
    label_scale: PositiveFloat = Field(1.0, description="Multiplies how often every label occurs.")
    composed_share: Share = Field(0.08, description="Texts made of two utterances in a row.")
    broken_share: float = Field(0.0015, ge=0, le=0.2, description="Records that are broken.")
    annotations_per_label: PositiveInt = Field(400, description="Annotated texts a label.")
    annotation: AnnotationSettings = Field(
        AnnotationSettings(), description="How annotators are given texts, and how they err."
    )
    chat: ChatNoise = Field(ChatNoise(), description="How pupils type.")
    speech: SpeechNoise = Field(SpeechNoise(), description="How speech recognition errs.")
    photo: PhotoNoise = Field(PhotoNoise(), description="How character recognition errs.")

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
        """The first days, of which most annotated texts are; never none."""
        return self.all_days[: max(1, round(self.days * self.annotation.days_share))]

    @property
    def checked_days(self) -> tuple[date, ...]:
        """The last days, of each of which a few texts are annotated; none that is among the first ones."""
        wanted = max(3, round(self.days * self.annotation.checked_days_share))
        later = self.all_days[len(self.annotated_days) :]
        return later[-wanted:] if self.annotation.checked_per_label and self.annotation.checked_days_share else ()
