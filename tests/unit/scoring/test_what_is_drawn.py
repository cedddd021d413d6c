"""What a teacher does not score is told, with the setting that bounds it."""

from __future__ import annotations

from jobs.scoring.score_teacher import left_out
from jobs.settings import TeacherScoringSettings


def test_a_part_that_is_not_scored_whole_is_told_with_its_setting() -> None:
    settings = TeacherScoringSettings(train_texts=24_000, test_texts=5_000)
    told = left_out({"train": 24_001, "threshold": 0, "test": 5_000, "gate": 10_382}, settings)
    assert told == [
        "24,000 of 24,001 distinct texts of the training days are drawn (teacher_scoring.train_texts)",
        "5,000 of 10,382 distinct texts of the gate days are drawn (teacher_scoring.gate_texts)",
    ]
