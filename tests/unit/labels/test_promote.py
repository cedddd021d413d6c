"""What goes in force has passed the gate with the thresholds it goes in force with; what does not is told why."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from jobs.labels import promote, thresholds
from jobs.lake import registry, tables
from jobs.lake.store import Lake
from jobs.reports import report, summary
from jobs.runtime.context import Context
from jobs.scoring import score, score_teacher
from models.errors import DataError, GateError, SettingsError
from tests.killing import kill_and_repeat
from tests.sealed import seal_by_first_letter
from tests.support import (
    NEW_YEAR,
    add,
    annotation_row,
    both_f1,
    context_of,
    day,
    do,
    fill,
    model_row,
    promotion_row,
    round_row,
    sample_row,
    teacher_score,
    text_row,
    threshold_row,
    versions,
)  # fmt: skip

TEACHER, OTHER_TEACHER, OTHER = "praise/teacher/t", "feedback/teacher/t", "feedback/bow/a"
TABLES = (
    tables.TEXTS, tables.TEACHER_SCORES, tables.ANNOTATIONS, tables.ROUND_SAMPLES, tables.MODELS, tables.ROUNDS,
    tables.THRESHOLDS, tables.PROMOTIONS, tables.EVALUATIONS, tables.STUDENT_SCORES, tables.MADE_DAYS,
)  # fmt: skip
LABELS = ("asks", "got")
DAYS = {"threshold_days": 1, "test_days": 1, "gate_days": 2, "min_train_days": 1}
TASKS = {"praise": {"scenes": ["live_chat"], "labels": {"asks": {}, "got": {}}}}
BOTH = TASKS | {"feedback": {"scenes": ["live_chat"], "labels": {"asks": {}, "got": {}}}}
# What the teacher says of a text that begins with the letter; z is there on the last day alone.
GOLD = {"y": (0.9, 0.9), "x": (0.9, 0.1), "z": (0.9, 0.1), "n": (0.1, 0.1)}
# What students say otherwise than the teacher.
STUDENTS: dict[str, dict[str, tuple[float, float]]] = {
    "good": {}, "no_got": {"y": (0.9, 0.1)}, "poor": {"y": (0.1, 0.1), "x": (0.1, 0.1), "z": (0.1, 0.1)},
    "no_x": {"x": (0.1, 0.1)}, "late": {"z": (0.1, 0.1)},
}  # fmt: skip


def name(student: str) -> str:
    return f"praise/bow/{student}"


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    folder: Path = tmp_path_factory.mktemp("students")
    return {
        student: seal_by_first_letter(folder, LABELS, GOLD | changes, name(student))
        for student, changes in STUDENTS.items()
    }


@pytest.fixture
def lake(bare_lake: Callable[..., Lake]) -> Lake:
    """Texts of six days, all scored by the teacher; five of each letter and day, z of the last day alone."""
    made = bare_lake(*TABLES)
    letters = [(n, letter) for n in range(6) for letter in GOLD if letter != "z" or n == 5]
    texts = [text_row(f"{letter}{n}{k}", dt=day(n)) for n, letter in letters for k in range(5)]
    teachers = [model_row(one, LABELS, role="teacher") for one in (TEACHER, OTHER_TEACHER)]
    limits = [threshold_row(one, label, 0.5) for one in (TEACHER, OTHER_TEACHER) for label in LABELS]
    return fill(made, {
        tables.TEXTS: texts,
        tables.TEACHER_SCORES: [
            teacher_score(one, row["text"], *GOLD[row["text"][0]]) for row in texts for one in (TEACHER, OTHER_TEACHER)
        ],
        tables.MODELS: teachers, tables.THRESHOLDS: limits,
    })  # fmt: skip


@pytest.fixture
def enter(lake: Lake, bundles: Mapping[str, str]) -> Callable[..., str]:
    """Registers a student, with a round that ended and a first version of its thresholds."""
    made: list[str] = []

    def register(student: str, **of_round: Any) -> str:
        model_id, later = name(student), NEW_YEAR + timedelta(days=len(made))
        made.append(model_id)
        row = model_row(model_id, LABELS, teacher_id=TEACHER, path=bundles[student], created_at=later,
                        round_id=f"{model_id}/01")  # fmt: skip
        add(lake, tables.MODELS, row)
        add(lake, tables.THRESHOLDS, *[threshold_row(model_id, label, 0.5) for label in LABELS])
        add(lake, tables.ROUNDS, round_row(model_id, f"{model_id}/01", **of_round))
        return model_id

    return register


def context_for(lake: Lake, tasks: Any = TASKS, gate: Any = None, **options: Any) -> Context:
    gate = {"min_positives": 3, "min_day_positives": 3} | (gate or {})
    return context_of(lake, "promote", tasks=tasks, rounds=DAYS, gate=gate, options=options)


def in_force(lake: Lake, at: datetime | None = None) -> dict[str, tuple[str, int, tuple[str, ...]]]:
    return {task: one.state for task, one in registry.live(lake, at).items()}


def kept(lake: Lake, purpose: str) -> set[tuple[str, str]]:
    return {(row["model_id"], row["round_id"]) for row in lake.rows(tables.EVALUATIONS) if row["purpose"] == purpose}


def test_what_reaches_its_targets_on_each_gate_day_goes_in_force_once(lake: Lake, enter: Callable[..., str]) -> None:
    enter("good")
    done = do(promote.JOB, context_for(lake))
    assert done is not None
    assert done.counts == {"promotions": 1, "labels_withheld": 0}
    assert in_force(lake) == {"praise": (name("good"), 1, ())}
    rows = [row for row in lake.rows(tables.EVALUATIONS) if (row["gold"], row["label"]) == ("teacher", "got")]
    assert {(row["dt"], row["purpose"], row["tp"], row["fp"], row["fn"], row["tn"]) for row in rows} == {
        (day(4), "gate", 5, 0, 0, 10), (day(5), "gate", 5, 0, 0, 15),
    }  # fmt: skip
    assert do(promote.JOB, context_for(lake)) is None


def test_a_first_promotion_withholds_what_misses_and_a_later_one_lets_it_in(
    lake: Lake, enter: Callable[..., str]
) -> None:
    enter("no_got")
    do(promote.JOB, context_for(lake))
    assert in_force(lake) == {"praise": (name("no_got"), 1, ("got",))}
    enter("good")
    do(promote.JOB, context_for(lake))
    assert in_force(lake) == {"praise": (name("good"), 1, ())}
    assert kept(lake, "live") == {(name("no_got"), f"gate/{name('good')}/1")}


def test_a_label_in_force_is_dropped_by_name_alone(lake: Lake, enter: Callable[..., str]) -> None:
    enter("good")
    do(promote.JOB, context_for(lake))
    enter("no_got")
    told = r"praise/bow/no_got@1: .*got on 2026-03-06: precision 0\.000 \(target 0\.8\), recall 0\.000"
    for _ in range(2):
        with pytest.raises(GateError, match=told):
            do(promote.JOB, context_for(lake))
    assert in_force(lake) == {"praise": (name("good"), 1, ())}
    with pytest.raises(SettingsError, match="--withhold: got gone, expected labels of what is promoted"):
        promote.plan(context_for(lake, withhold=["gone"]))
    do(promote.JOB, context_for(lake, withhold=["praise.got"]))
    assert in_force(lake) == {"praise": (name("no_got"), 1, ("got",))}


def test_a_label_of_the_student_in_force_can_be_withheld_and_judged_again(
    lake: Lake, enter: Callable[..., str]
) -> None:
    enter("good")
    do(promote.JOB, context_for(lake))
    do(promote.JOB, context_for(lake, withhold=["got"]))
    assert in_force(lake) == {"praise": (name("good"), 1, ("got",))}
    assert do(promote.JOB, context_for(lake)) is None
    do(promote.JOB, context_for(lake, model=name("good")))
    assert in_force(lake) == {"praise": (name("good"), 1, ())}


def test_one_bad_gate_day_is_enough_and_is_named(lake: Lake, enter: Callable[..., str]) -> None:
    enter("late")
    done = do(promote.JOB, context_for(lake))
    assert done is not None
    assert in_force(lake) == {"praise": (name("late"), 1, ("asks",))}  # on the 7th z is a third of it


def test_thresholds_are_never_in_force_unjudged(lake: Lake, enter: Callable[..., str]) -> None:
    model_id = enter("good")
    do(promote.JOB, context_for(lake))
    add(lake, tables.THRESHOLDS, *[threshold_row(model_id, label, 0.95, version=2) for label in LABELS])
    with pytest.raises(GateError, match=r"praise/bow/good@2: .*asks on 2026-03-06.*recall 0\.000"):
        do(promote.JOB, context_for(lake))
    assert in_force(lake) == {"praise": (model_id, 1, ())}
    add(lake, tables.THRESHOLDS, *[threshold_row(model_id, label, 0.6, version=3) for label in LABELS])
    do(promote.JOB, context_for(lake))
    assert in_force(lake) == {"praise": (model_id, 3, ())}


def test_a_student_that_is_worse_than_the_one_in_force_stays_out(lake: Lake, enter: Callable[..., str]) -> None:
    low = {"praise": {"scenes": ["live_chat"], "labels": {
        label: {"target": {"precision": 0.1, "recall": 0.1}} for label in LABELS
    }}}  # fmt: skip
    enter("good")
    do(promote.JOB, context_for(lake, low))
    enter("no_x")
    with pytest.raises(GateError, match=r"macro F1 0\.8.* is below the 1\.000 of the student in force by more than 0"):
        do(promote.JOB, context_for(lake, low))
    do(promote.JOB, context_for(lake, low, gate={"margin": 0.5}))
    assert in_force(lake)["praise"][0] == name("no_x")


def test_a_gate_day_that_the_teacher_did_not_score_lets_nothing_pass(lake: Lake, enter: Callable[..., str]) -> None:
    enter("good")
    add(lake, tables.TEXTS, text_row("new", dt=day(6)), text_row("elsewhere", dt=day(7), scene="asr"))
    with pytest.raises(GateError, match="praise/teacher/t scored no text of 2026-03-08; run `pingti score-teacher`"):
        do(promote.JOB, context_for(lake))
    add(lake, tables.TEACHER_SCORES, teacher_score(TEACHER, "new", 0.1, 0.1))
    with pytest.raises(GateError, match="no label is left to decide: asks is too rare to judge: 0 positive texts"):
        do(promote.JOB, context_for(lake))
    do(promote.JOB, context_for(lake, gate={"rare": "accept"}))
    assert in_force(lake) == {"praise": (name("good"), 1, ())}


def learn(lake: Lake, student: str, *texts: str) -> None:
    add(lake, tables.ROUND_SAMPLES, *[sample_row(f"{name(student)}/01", text) for text in texts])


def counted(lake: Lake, purpose: str, student: str = "good") -> dict[Any, int]:
    """How many texts were counted for the label `asks` on each gate day, when a student was judged."""
    wanted = (purpose, "asks", "teacher", f"gate/{name(student)}/1")
    columns = ("purpose", "label", "gold", "round_id")
    rows = [row for row in lake.rows(tables.EVALUATIONS) if tuple(row[column] for column in columns) == wanted]
    return {row["dt"]: sum(row[f"text_{cell}"] for cell in ("tp", "fp", "fn", "tn")) for row in rows}


@pytest.mark.parametrize("by_heart", [False, True])
def test_texts_that_training_saw_on_earlier_days_do_not_count_at_the_gate(
    lake: Lake, enter: Callable[..., str], by_heart: bool
) -> None:
    enter("no_x")  # which is right about y, said again and again, and of the 6th about nothing else that asks
    add(lake, tables.TEXTS, *[text_row(f"again{k}", "y40", dt=day(4)) for k in range(90)])
    target = {"asks": {"target": {"precision": 0.8, "recall": 0.6}}}
    context = context_for(lake, {"praise": {"scenes": ["live_chat"], "labels": target}})
    if by_heart:
        learn(lake, "no_x", *[f"y{n}{k}" for n in (4, 5) for k in range(5)])
        with pytest.raises(GateError, match=r"asks on 2026-03-06.*recall 0\.000"):
            do(promote.JOB, context)
        assert counted(lake, "gate", "no_x") == {day(4): 10, day(5): 15}
    else:
        do(promote.JOB, context)
        assert in_force(lake) == {"praise": (name("no_x"), 1, ())}
        assert counted(lake, "gate", "no_x") == {day(4): 15, day(5): 20}


def test_the_candidate_and_the_student_in_force_are_judged_on_texts_that_are_new_to_both(
    lake: Lake, enter: Callable[..., str]
) -> None:
    enter("good")
    learn(lake, "good", "y40", "y41", "n50")
    do(promote.JOB, context_for(lake))
    enter("late")
    learn(lake, "late", "y41", *[f"z5{k}" for k in range(5)])  # all that it is wrong about
    do(promote.JOB, context_for(lake))
    assert counted(lake, "gate", "late") == counted(lake, "live", "late") == {day(4): 13, day(5): 14}
    assert in_force(lake) == {"praise": (name("late"), 1, ())}


def test_the_gate_counts_the_texts_of_its_own_draw_alone(lake: Lake, enter: Callable[..., str]) -> None:
    enter("good")
    own = context_of(
        lake,
        tasks=TASKS,
        rounds=DAYS,
        gate={"min_positives": 1, "min_day_positives": 1},
        teacher_scoring={"gate_texts": 9},
    )
    do(promote.JOB, own)
    assert sum(counted(lake, "gate").values()) == 9


def test_what_the_gate_leaves_out_or_cannot_know_is_told(
    lake: Lake, enter: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    enter("good")
    context = context_for(lake)
    said: list[str] = []
    monkeypatch.setattr(context.reporter, "say", said.append)
    do(promote.JOB, context)
    assert said == [f"  praise: the rows of {name('good')}/01 were removed: texts that it learnt from count"]
    learn(lake, "good", "y40", "elsewhere")
    enter("late")
    learn(lake, "late", *[f"z5{k}" for k in range(5)])
    do(promote.JOB, context)
    assert "  praise: 6 of 35 texts drawn of the gate days were learnt from on earlier days: not counted" in said


def test_annotators_are_heard_on_the_gate_days(lake: Lake, enter: Callable[..., str]) -> None:
    enter("good")
    add(lake, tables.ANNOTATIONS, *[
        annotation_row("praise", "got", f"{letter}4{k}", letter == "x") for letter in "xy" for k in range(5)
    ])  # fmt: skip
    do(promote.JOB, context_for(lake))
    assert in_force(lake) == {"praise": (name("good"), 1, ("got",))}
    assert {row["gold"] for row in lake.rows(tables.EVALUATIONS)} == {"teacher", "human"}


def test_force_needs_no_gate_keeps_its_reason_and_is_done_once(lake: Lake, enter: Callable[..., str]) -> None:
    lost = both_f1(0.1, 0.9)
    enter("poor", metrics=lost)
    for _ in range(2):
        do(promote.JOB, context_for(lake, force=True, reason="the old one is broken", withhold=["got"]))
    ((action, reason, withheld),) = [
        (row["action"], row["reason"], row["withheld"]) for row in lake.rows(tables.PROMOTIONS)
    ]
    assert (action, reason, withheld) == ("force", "the old one is broken", ["got"])
    assert kept(lake, "gate") == {(name("poor"), f"gate/{name('poor')}/1")}


def test_a_refusal_that_is_repeated_writes_nothing_more(lake: Lake, enter: Callable[..., str]) -> None:
    enter("poor")
    with pytest.raises(GateError, match="no label is left to decide"):
        do(promote.JOB, context_for(lake))
    before = versions(lake, *TABLES)
    with pytest.raises(GateError):
        do(promote.JOB, context_for(lake))
    assert versions(lake, *TABLES) == before


@pytest.mark.parametrize("stop", ["evaluations:after_commit", "promotions:before_commit", "promotions:after_commit"])
def test_killed_and_run_again_it_is_done_once(lake: Lake, enter: Callable[..., str], tmp_path: Path, stop: str) -> None:
    enter("no_got")
    lake.catalog.make([tables.RUNS])
    gate = {"min_positives": 3, "min_day_positives": 3}
    kill_and_repeat(lake, tmp_path, f"promote:{stop}", "promote", tasks=TASKS, rounds=DAYS, gate=gate)
    seen = context_for(lake).lake
    assert in_force(seen) == {"praise": (name("no_got"), 1, ("got",))}
    keys = [tuple(row[column] for column in tables.EVALUATIONS.key) for row in seen.rows(tables.EVALUATIONS)]
    assert (len(seen.rows(tables.PROMOTIONS)), len(keys)) == (1, len(set(keys)))


def test_without_gate_days_the_test_days_are_looked_at(lake: Lake, enter: Callable[..., str]) -> None:
    enter("late")  # which is wrong on the last day alone
    days = {"threshold_days": 1, "test_days": 4, "gate_days": 0, "min_train_days": 1}
    do(promote.JOB, context_of(lake, tasks=TASKS, rounds=days, gate={"min_positives": 30}))
    assert in_force(lake) == {"praise": (name("late"), 1, ("got",))}  # got is too rare for 30


def test_a_student_that_lost_or_was_never_judged_holds_up_no_other_task(
    lake: Lake, enter: Callable[..., str], bundles: Mapping[str, str]
) -> None:
    enter("good", metrics=both_f1(0.9, 0.8) + both_f1(0.5, 0.7, "human", "test_unseen"),
          row_counts={"human_positives/asks": 400})  # fmt: skip
    other = model_row(OTHER, LABELS, teacher_id=OTHER_TEACHER, path=bundles["good"])
    add(lake, tables.MODELS, other, model_row("mood/bow/a", ["asks"], path="/nowhere"))
    add(lake, tables.THRESHOLDS, *[threshold_row(OTHER, label, 0.5) for label in LABELS])
    add(lake, tables.THRESHOLDS, threshold_row("mood/bow/a", "asks", 0.5))
    add(lake, tables.ROUNDS, round_row(OTHER, f"{OTHER}/01"))
    every = context_for(lake, BOTH | {"mood": BOTH["praise"]})
    done = do(promote.JOB, every)
    assert done is not None
    assert done.counts["promotions"] == 1
    with pytest.raises(GateError, match=r"0\.500 against the gold `human`.*mood/bow/a: its round did not end"):
        raise done.error or AssertionError("nothing was refused")
    assert in_force(lake) == {"feedback": (OTHER, 1, ())}
    with pytest.raises(GateError):  # again, though there is nothing else to do
        do(promote.JOB, every)


def test_a_student_that_cannot_be_judged_stays_out_and_holds_up_no_other_task(
    lake: Lake, enter: Callable[..., str]
) -> None:
    enter("good")
    add(lake, tables.MODELS, model_row(OTHER, LABELS, teacher_id=OTHER_TEACHER, path="/nowhere"))
    add(lake, tables.THRESHOLDS, *[threshold_row(OTHER, label, 0.5) for label in LABELS])
    add(lake, tables.ROUNDS, round_row(OTHER, f"{OTHER}/01"))
    done = do(promote.JOB, context_for(lake, BOTH))
    assert done is not None
    assert "feedback/bow/a@1: not judged: /nowhere" in str(done.error)
    assert in_force(lake) == {"praise": (name("good"), 1, ())}


def test_a_round_that_only_stopped_is_for_the_gate_to_judge(lake: Lake, enter: Callable[..., str]) -> None:
    enter("good", decision="stop", reason="after 2 rounds still below target: got")
    do(promote.JOB, context_for(lake))
    assert in_force(lake) == {"praise": (name("good"), 1, ())}


def test_a_student_is_named_with_a_version_of_its_thresholds(lake: Lake, enter: Callable[..., str]) -> None:
    first = enter("good")
    enter("no_got")
    add(lake, tables.THRESHOLDS, *[threshold_row(first, label, 0.95, version=2) for label in LABELS])
    do(promote.JOB, context_for(lake, model=f"{first}@1"))
    assert in_force(lake) == {"praise": (first, 1, ())}
    with pytest.raises(DataError, match="has no thresholds of version 3, the newest is 2"):
        promote.plan(context_for(lake, model=f"{first}@3"))
    with pytest.raises(SettingsError, match="is a teacher, expected a student"):
        promote.plan(context_for(lake, model=TEACHER))


def test_a_student_without_thresholds_is_not_promoted(lake: Lake) -> None:
    with pytest.raises(DataError, match="no student of task praise; run `pingti distil` first"):
        promote.plan(context_for(lake))
    add(lake, tables.MODELS, model_row(name("good"), LABELS))
    with pytest.raises(DataError, match="praise/bow/good has no thresholds; run `pingti thresholds` first"):
        promote.plan(context_for(lake))


def test_a_task_of_a_later_phase_holds_up_no_other(lake: Lake, enter: Callable[..., str]) -> None:
    student = enter("good")
    settings = {"tasks": TASKS | {"mood": TASKS["praise"]}}
    (step,) = promote.plan(context_of(lake, "promote", rounds=DAYS, **settings)).steps
    assert student in step
    (step, *_) = thresholds.plan(context_of(lake, "thresholds", rounds=DAYS, **settings)).steps
    assert step.startswith("search the thresholds of praise/")
    assert score.plan(context_of(lake, "score", **settings)).steps
    assert score_teacher.plan(context_of(lake, "score-teacher", rounds=DAYS, **settings)).steps
    with pytest.raises(DataError, match="no student of task mood; run `pingti distil` first"):
        promote.plan(context_of(lake, "promote", task="mood", rounds=DAYS, **settings))


def test_what_was_in_force_at_a_moment_is_told_to_the_moment(bare_lake: Callable[..., Lake]) -> None:
    own = bare_lake(tables.PROMOTIONS)
    old, new, second = "praise/textcnn/old", "praise/textcnn/new", NEW_YEAR + timedelta(days=1)
    add(own, tables.PROMOTIONS, promotion_row(old, NEW_YEAR), promotion_row(new, second), promotion_row(OTHER, second))
    assert in_force(own, NEW_YEAR - timedelta(microseconds=1)) == {}
    assert in_force(own, NEW_YEAR) == {"praise": (old, 1, ())}
    assert in_force(own, second - timedelta(microseconds=1)) == {"praise": (old, 1, ())}
    assert in_force(own, second) == {"praise": (new, 1, ()), "feedback": (OTHER, 1, ())}
    assert in_force(own) == in_force(own, second)


def test_the_report_says_which_labels_are_withheld(lake: Lake, enter: Callable[..., str]) -> None:
    enter("no_got")
    do(promote.JOB, context_for(lake))
    rows = summary.quality_by_label(lake)
    assert [(row["task"], row["label"], row["withheld"]) for row in rows] == [
        ("praise", "asks", False), ("praise", "got", True),
    ]  # fmt: skip
    counts = dict.fromkeys(("read", "raw", "rejected", "repeated", "texts"), 0) | {"tasks": {}}
    page = report.render({"counts": counts, "rounds": [], "seconds": 0}, [], rows, [])
    assert page.count("withheld") == 1
