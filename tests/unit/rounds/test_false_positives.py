"""What a label that is nowhere in the gold costs is told apart: no F1 shows it."""

from __future__ import annotations

from jobs.evaluation.model_evaluation import EvaluationKey, ModelEvaluation
from jobs.rounds.round_evaluation import false_positives_of_absent
from models.evaluation.metrics import Counts
from models.evaluation.sliced_metrics import SliceCounts


def test_false_positives_of_labels_without_a_positive_are_counted_over_all_days() -> None:
    cells = [
        SliceCounts(1, "chat", "there", Counts(tp=1, fp=4, fn=0, tn=0)),
        SliceCounts(1, "chat", "absent", Counts(tp=0, fp=2, fn=0, tn=3)),
        SliceCounts(2, "chat", "absent", Counts(tp=0, fp=5, fn=0, tn=0)),
        SliceCounts(2, "chat", "quiet", Counts(tp=0, fp=0, fn=0, tn=5)),
    ]
    evaluation = ModelEvaluation((), {EvaluationKey("student", "m", "teacher", "test"): cells})
    assert false_positives_of_absent(evaluation) == {"absent": 7}
    assert false_positives_of_absent(ModelEvaluation((), {})) == {}
