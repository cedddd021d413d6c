"""What a label that is nowhere in the gold costs is told apart: no F1 shows it."""

from __future__ import annotations

from jobs.evaluation.model_evaluation import EvaluationKey, ModelEvaluation, PartCounts
from jobs.rounds.round_evaluation import false_positives_of_absent
from models.evaluation.metrics import Counts
from models.evaluation.sliced_metrics import Agreement


def test_false_positives_of_labels_without_a_positive_are_counted_over_all_days() -> None:
    counts = {
        "there": Counts(tp=1, fp=4, fn=0, tn=0), "absent": Counts(tp=0, fp=7, fn=0, tn=3),
        "quiet": Counts(tp=0, fp=0, fn=0, tn=5),
    }  # fmt: skip
    labels = {label: Agreement(one, Counts(0, 1, 0, 0)) for label, one in counts.items()}
    evaluation = ModelEvaluation((), {EvaluationKey("student", "m", "teacher", "test"): PartCounts(labels=labels)})
    assert false_positives_of_absent(evaluation) == {"absent": 7}
    assert false_positives_of_absent(ModelEvaluation((), {})) == {}
