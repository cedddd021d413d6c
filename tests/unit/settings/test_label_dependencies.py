"""Labels that wait for each other: their order, and what is never decided."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.label_dependencies import Label, decide, dependents, excluders, order, resolve, task_order
from models.tasks import LabelSettings, TaskSettings

NEVER = np.zeros(8, bool)
NAMES = [(task, label) for task in "ab" for label in "wxyz"]


def tasks(**labels: dict[str, dict[str, Any]]) -> dict[str, TaskSettings]:
    return {
        name: TaskSettings(scenes=("chat",), labels={label: LabelSettings(**it) for label, it in own.items()})
        for name, own in labels.items()
    }


PRAISE = tasks(
    praise={"got": {"excludes": ["asks"]}, "asks": {}, "unfair": {"requires": ["feedback.complaint"]}},
    feedback={"complaint": {"requires": ["useful"]}, "useful": {}},
    alone={"quiet": {}},
)


def test_a_reference_without_a_task_is_the_own_tasks() -> None:
    assert resolve(PRAISE, "praise", "got") == ("praise", "got")
    assert resolve(PRAISE, "praise", "feedback.complaint") == ("feedback", "complaint")


def test_names_may_have_dots() -> None:
    house = {"a.b": {"c.d": {}, "e": {}}, "a": {"b.e": {}, "x": {}}, "own": {"a.x": {}, "y": {}}}
    dotted = {
        name: TaskSettings(scenes=("chat",), labels=dict.fromkeys(labels, LabelSettings()))
        for name, labels in house.items()
    }
    assert resolve(dotted, "own", "a.x") == ("own", "a.x")
    assert resolve(dotted, "a.b", "a.x") == ("a", "x")
    assert resolve(dotted, "own", "a.b.c.d") == ("a.b", "c.d")
    assert resolve(dotted, "own", "a.b.e") == ("a", "b.e")
    assert resolve(dotted, "own", "no.such") == ("no", "such")


def test_a_label_comes_after_what_it_requires_and_what_excludes_it() -> None:
    found = order(PRAISE)
    assert sorted(found) == sorted((name, label) for name, task in PRAISE.items() for label in task.labels)
    assert found.index(("praise", "got")) < found.index(("praise", "asks"))
    assert found.index(("feedback", "useful")) < found.index(("feedback", "complaint"))
    assert found.index(("feedback", "complaint")) < found.index(("praise", "unfair"))
    assert sorted(task_order(PRAISE)) == ["alone", "feedback", "praise"]


def test_what_is_declared_is_read_from_the_other_side() -> None:
    assert excluders(PRAISE) == {("praise", "asks"): (("praise", "got"),)}


@pytest.mark.parametrize(
    "labels",
    [
        {"x": {"requires": ["x"]}},
        {"x": {"excludes": ["x"]}},
        {"x": {"requires": ["y"]}, "y": {"requires": ["x"]}},
        {"x": {"excludes": ["y"]}, "y": {"excludes": ["x"]}},
        {"x": {"requires": ["y"], "excludes": ["y"]}, "y": {}},
        {"x": {"requires": ["y"]}, "y": {"requires": ["z"]}, "z": {"requires": ["a.x"]}},
    ],
)
def test_a_cycle_is_refused_by_its_labels(labels: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"labels wait for each other: .*a\.x.*drop one side"):
        order(tasks(a=labels))


def test_a_cycle_across_tasks_is_refused() -> None:
    with pytest.raises(ValueError, match="wait for each other"):
        order(tasks(a={"x": {"requires": ["b.y"]}}, b={"y": {"requires": ["a.x"]}}))


@pytest.mark.parametrize("reference", ["nobody", "b.x", "a.nobody"])
def test_a_reference_to_nothing_is_refused(reference: str) -> None:
    for kind in ("requires", "excludes"):
        with pytest.raises(ValueError, match=r"a\.x refers to \w+\.\w+, which no task declares"):
            order(tasks(a={"x": {kind: [reference]}}))


def test_dependents_are_all_that_read_a_task_however_far() -> None:
    chain = tasks(
        a={"x": {}}, b={"x": {"requires": ["a.x"]}}, c={"x": {"requires": ["b.x"]}},
        d={"x": {"excludes": ["e.x"]}}, e={"x": {}},
    )  # fmt: skip
    assert dependents(chain, "a") == {"a", "b", "c"}
    assert dependents(chain, "c") == {"c"}
    assert dependents(chain, "d") == {"d", "e"}
    assert dependents(chain, "e") == {"e"}


@st.composite
def houses(draw: st.DrawFn) -> dict[str, TaskSettings]:
    """Tasks whose labels refer only to labels before them in some order, so that there is no cycle."""
    line = draw(st.permutations(NAMES))
    found: dict[str, dict[str, dict[str, Any]]] = {"a": {}, "b": {}}
    for place, (task, label) in enumerate(line):
        before = [".".join(name) for name in line[:place]]
        after = [".".join(name) for name in line[place + 1 :]]
        some = {"max_size": 2, "unique": True}
        requires = draw(st.lists(st.sampled_from(before), **some)) if before else []
        excludes = draw(st.lists(st.sampled_from(after), **some)) if after else []
        found[task][label] = {"requires": requires, "excludes": excludes}
    return tasks(**found)


@given(houses(), st.dictionaries(st.sampled_from(NAMES), st.lists(st.booleans(), min_size=8, max_size=8)))
@settings(max_examples=300, deadline=None)
def test_every_decision_follows_from_the_decisions_it_depends_on(
    house: dict[str, TaskSettings], scores: dict[Label, list[bool]]
) -> None:
    above = {name: np.array(values) for name, values in scores.items()}
    holds = decide(house, above, never=NEVER)
    assert set(holds) == set(above)
    by = excluders(house)
    for (task, label), held in holds.items():
        required = [holds.get(resolve(house, task, name), NEVER) for name in house[task].labels[label].requires]
        excluding = [holds.get(name, NEVER) for name in by.get((task, label), ())]
        wanted = above[task, label] & np.all([~NEVER, *required], axis=0) & ~np.any([NEVER, *excluding], axis=0)
        assert np.array_equal(held, wanted)


@given(houses())
@settings(max_examples=100, deadline=None)
def test_every_order_puts_what_decides_first(house: dict[str, TaskSettings]) -> None:
    place = {name: at for at, name in enumerate(order(house))}
    assert len(place) == len(NAMES)
    for name, task in house.items():
        for label, it in task.labels.items():
            assert all(place[resolve(house, name, other)] < place[name, label] for other in it.requires)
            assert all(place[resolve(house, name, other)] > place[name, label] for other in it.excludes)


def test_a_label_whose_task_has_no_student_holds_nowhere_and_excludes_nothing() -> None:
    holds = decide(PRAISE, {("praise", "unfair"): ~NEVER, ("praise", "asks"): ~NEVER}, never=NEVER)
    assert not holds["praise", "unfair"].any()
    assert holds["praise", "asks"].all()


def test_a_label_that_is_itself_excluded_excludes_nothing() -> None:
    chain = tasks(a={"x": {"excludes": ["y"]}, "y": {"excludes": ["z"]}, "z": {}})
    holds = decide(chain, {("a", label): ~NEVER for label in "xyz"}, never=NEVER)
    assert [bool(holds["a", label].all()) for label in "xyz"] == [True, False, True]
