"""What other teams query: the views, the labels as of a moment, and an answer that can be read."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console

from jobs.days import made_days
from jobs.days.made_days import Made, Recipe
from jobs.days.signatures import Cell
from jobs.lake import tables, views
from jobs.lake.store import Lake
from jobs.reports import sql
from jobs.runtime.context import Context
from models.errors import SettingsError
from tests.support import (
    DAY,
    STAMP,
    add,
    context_of,
    day,
    fill,
    model_row,
    promotion_row,
    rows_of,
    rule,
    score_row,
    text_row,
    threshold_row,
    versions,
)

pytestmark = pytest.mark.spark

TASKS: dict[str, Any] = {
    "praise": {"scenes": ["live_chat"], "labels": {"asks": {}, "got": {}}},
    "feedback": {"scenes": ["live_chat"], "labels": {"complaint": {}}},
}
OLD, NEW = "praise/textcnn/old", "praise/textcnn/new"
FIRST, SECOND = (datetime(2026, 3, day, tzinfo=UTC) for day in (10, 20))


@pytest.fixture(scope="module")
def house(shared_lake: Callable[..., Lake]) -> Lake:
    """All tables; one task whose second model, promoted later, decides otherwise."""
    lake = shared_lake(*tables.ALL)
    fill(lake, {
        tables.TEXTS: [
            text_row("a", "夸我"), text_row("b", "棒"), text_row("c", "无"),
            text_row("d", "[花]", settled=[rule("praise", "positive", "got", "flower")]),
        ],
        tables.MODELS: [model_row(OLD, ["asks", "got"]), model_row(NEW, ["got", "asks"])],
        tables.THRESHOLDS: [threshold_row(one, name, 0.5) for one in (OLD, NEW) for name in ("asks", "got")],
        tables.PROMOTIONS: [promotion_row(OLD, FIRST), promotion_row(NEW, SECOND)],
        tables.STUDENT_SCORES: [
            score_row("a", OLD, [0.75, 0.25]), score_row("b", OLD, [0.25, 0.25]), score_row("c", OLD, None),
            score_row("a", NEW, [0.75, 0.75]), score_row("b", NEW, [0.75, 0.25]), score_row("c", NEW, [0.0, 0.125]),
        ],
        tables.LABELS: [
            label_row("a", "asks", score=0.75), label_row("a", "got", score=0.75), label_row("b", "got", score=0.75),
            label_row("d", "got", rule="flower"), label_row("c", "got", model_id=OLD),
        ],
    })  # fmt: skip
    made = {Cell(DAY, "praise"): Made(Recipe("1", about=json.dumps({"model_id": NEW, "threshold_version": 1})), "")}
    made_days.write(lake, tables.LABELS, made, STAMP)
    return lake


def label_row(text_id: str, name: str, **values: Any) -> dict[str, Any]:
    return {
        "text_id": text_id, "dt": DAY, "task": "praise", "label": name, "scene": "live_chat", "model_id": NEW,
        "threshold_version": 1,
    } | values  # fmt: skip


def context_for(lake: Lake) -> Context:
    return context_of(lake, "sql", tasks=TASKS)


def asked(lake: Lake, query: str, as_of: str | None = None) -> list[tuple[Any, ...]]:
    sql.prepare(lake, context_for(lake).settings, as_of)
    return rows_of(lake.spark.sql(query))


def printed(lake: Lake, statement: str, limit: int = 20) -> str:
    console = Console(file=io.StringIO(), width=120)
    sql.run(context_for(lake), statement, limit, None, console)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_scores_are_told_by_label_whatever_the_models_order(house: Lake) -> None:
    found = asked(house, "SELECT model_id, label, score FROM student_scores_long WHERE text_id = 'b'")
    assert found == [(NEW, "asks", 0.25), (NEW, "got", 0.75), (OLD, "asks", 0.25), (OLD, "got", 0.25)]
    nulls = asked(
        house, "SELECT label, score, error FROM student_scores_long WHERE text_id = 'c' AND model_id LIKE '%old'"
    )
    assert nulls == [("asks", None, "no_text"), ("got", None, "no_text")]


def test_current_labels_come_with_their_texts(house: Lake) -> None:
    found = asked(house, "SELECT text_id, label, text, score, rule, model_id, source FROM current_labels")
    assert found == [
        ("a", "asks", "夸我", 0.75, None, NEW, "chat"), ("a", "got", "夸我", 0.75, None, NEW, "chat"),
        ("b", "got", "棒", 0.75, None, NEW, "chat"), ("d", "got", "[花]", None, "flower", NEW, "chat"),
    ]  # fmt: skip


def test_the_wide_view_has_every_text_and_a_column_a_label(house: Lake) -> None:
    found = asked(house, "SELECT text_id, praise_asks, praise_got, feedback_complaint FROM label_wide")
    assert found == [
        ("a", True, True, None), ("b", False, True, None), ("c", False, False, None), ("d", False, True, None),
    ]  # fmt: skip


def test_days_tell_which_promotion_decided_them(house: Lake) -> None:
    days = "SELECT dt, task, model_id, threshold_version, in_force FROM label_days"
    assert asked(house, days) == [(DAY, "praise", NEW, 1, True)]
    made = {Cell(day(1), "praise"): Made(Recipe("1", about=json.dumps({"model_id": OLD, "threshold_version": 1})), "")}
    made_days.write(house, tables.LABELS, made, STAMP)
    assert asked(house, f"{days} WHERE NOT in_force") == [(day(1), "praise", OLD, 1, False)]


def test_a_label_that_is_withheld_is_no_current_one_even_before_its_days_are_decided_again(
    lake: Callable[..., Lake],
) -> None:
    own = lake(*tables.ALL)
    withheld = promotion_row(NEW, FIRST) | {"withheld": ["asks"]}
    fill(own, {
        tables.TEXTS: [text_row("a")], tables.PROMOTIONS: [promotion_row(NEW, FIRST.replace(day=1)), withheld],
        tables.LABELS: [label_row("a", "asks"), label_row("a", "got")],
    })  # fmt: skip
    views.register(own, context_for(own).settings.tasks)
    assert rows_of(own.spark.sql("SELECT label FROM current_labels")) == [("got",)]


def test_a_day_is_not_in_force_where_a_task_that_it_needs_was_promoted_since(lake: Callable[..., Lake]) -> None:
    own = lake(*tables.ALL)
    needed = "feedback/textcnn/old"
    add(own, tables.PROMOTIONS, promotion_row(NEW, FIRST), promotion_row(needed, FIRST))
    mine = {"model_id": NEW, "threshold_version": 1}
    needs = [
        {"task": "feedback", "model_id": needed, "threshold_version": 1, "withheld": []},
        {"task": "feedback", "model_id": needed, "threshold_version": 1, "withheld": ["complaint"]},
        {"task": "feedback", "model_id": None},
        {"task": "mood", "model_id": None},
    ]
    recipes = [Recipe("1", about=json.dumps(mine | {"needs": [one]})) for one in needs] + [
        Recipe("1", about=json.dumps(mine))
    ]
    made = {Cell(day(number), "praise"): Made(recipe, "") for number, recipe in enumerate(recipes)}
    made_days.write(own, tables.LABELS, made, STAMP)
    query = "SELECT in_force FROM label_days ORDER BY dt"
    views.register(own, context_for(own).settings.tasks)
    assert [row[0] for row in own.spark.sql(query).collect()] == [True, False, False, True, True]
    add(own, tables.PROMOTIONS, promotion_row("feedback/textcnn/new", SECOND))
    assert [row[0] for row in own.spark.sql(query).collect()] == [False, False, False, True, True]


def test_a_day_that_was_decided_with_other_labels_withheld_is_not_in_force(lake: Callable[..., Lake]) -> None:
    own = lake(*tables.ALL)
    fill(own, {
        tables.PROMOTIONS: [promotion_row(NEW, FIRST) | {"withheld": ["got", "asks"]}],
        tables.MODELS: [model_row(NEW, ["got", "asks"])],
        tables.THRESHOLDS: [threshold_row(NEW, name, 0.5) for name in ("asks", "got")],
    })  # fmt: skip
    for number, withheld in enumerate((["asks", "got"], ["asks"], [])):
        about = json.dumps({"model_id": NEW, "threshold_version": 1, "withheld": withheld})
        cells = {Cell(day(number), "praise"): Made(Recipe("1", about=about), "")}
        made_days.write(own, tables.LABELS, cells, STAMP)
    assert asked(own, "SELECT dt, in_force FROM label_days") == [(DAY, True), (day(1), False), (day(2), False)]


@pytest.mark.parametrize(
    ("as_of", "labels"),
    [
        ("2026-03-10T07:59:59", []),
        ("2026-03-10T08:00:00", [("a", "asks", OLD), ("d", "got", OLD)]),
        ("2026-03-19T23:59:59Z", [("a", "asks", OLD), ("d", "got", OLD)]),
        ("2026-03-20T00:00:00Z", [("a", "asks", NEW), ("a", "got", NEW), ("b", "got", NEW), ("d", "got", NEW)]),
        (None, [("a", "asks", NEW), ("a", "got", NEW), ("b", "got", NEW), ("d", "got", NEW)]),
    ],
)
def test_labels_as_of_a_moment_are_those_of_the_model_then_in_force(
    house: Lake, as_of: str | None, labels: list[tuple[str, ...]]
) -> None:
    assert asked(house, "SELECT text_id, label, model_id FROM label_as_of", as_of) == labels


def test_views_follow_the_tables_without_being_made_anew(house: Lake) -> None:
    asked(house, "SELECT 1")
    add(house, tables.TEXTS, text_row("late", scene="photo"))
    assert house.spark.sql("SELECT count(*) FROM label_wide WHERE text_id = 'late'").collect()[0][0] == 1


def test_an_answer_is_cut_at_the_limit_and_says_so(house: Lake) -> None:
    told = printed(house, "SELECT text_id, score FROM current_labels ORDER BY text_id, label", limit=2)
    assert "only the first 2 rows" in told
    assert "0.75" in told
    assert "flower" not in told
    told = printed(house, "SELECT score, rule FROM current_labels WHERE text_id = 'd'")
    assert "–" in told
    assert "only the first" not in told


@pytest.mark.parametrize("statement", ["SELECT * FROM lables", "SELEKT 1", "SELECT nothing FROM labels"])
def test_a_statement_that_cannot_be_run_names_what_is_there(house: Lake, statement: str) -> None:
    with pytest.raises(SettingsError, match=r"^sql: .*; tables and views: raw_texts, .*label_wide, label_as_of$"):
        printed(house, statement)


def test_an_answer_shows_what_looks_like_markup_as_it_is(house: Lake) -> None:
    assert "好[/doge] [ok] :smile:" in printed(house, "SELECT '好[/doge] [ok] :smile:' AS `[b]text`")


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM labels",
        " -- harmless\n drop TABLE labels",
        "WITH a AS (SELECT 1) INSERT INTO labels SELECT * FROM a",
        "FROM labels INSERT INTO labels SELECT *",
        "EXECUTE IMMEDIATE 'DELETE FROM labels'",
        "BEGIN DELETE FROM labels; END",
        "EXPLAIN DELETE FROM labels",
        "EXPLAIN ANALYZE TABLE labels COMPUTE STATISTICS",
        "CREATE TABLE IDENTIFIER('x') AS SELECT 1",
        "SET spark.sql.ansi.enabled = false",
        "SET VAR x = 1",
        "ADD JAR 'x.jar'",
        "GENERATE symlink_format_manifest FOR TABLE labels",
        "OPTIMIZE labels",
        "CACHE TABLE labels",
        "SELECT TRANSFORM(text_id) USING 'cat' FROM labels",
        "WITH a AS (SELECT TRANSFORM(text_id) USING 'cat' AS (x) FROM labels) SELECT * FROM a",
        "SELECT 1 WHERE '1' IN (SELECT TRANSFORM(text_id) USING 'cat' AS (x) FROM labels)",
    ],
)
def test_a_statement_that_is_no_query_is_refused(house: Lake, statement: str) -> None:
    before = versions(house, *tables.ALL)
    with pytest.raises(SettingsError, match="is no query; only jobs write tables, ask with SELECT"):
        printed(house, statement)
    assert versions(house, *tables.ALL) == before


@pytest.mark.parametrize(
    "call", ["reflect", "java_method", "try_reflect", "`reflect`", "system.builtin.reflect", "builtin.java_method"]
)
def test_no_query_calls_java(house: Lake, call: str) -> None:
    with pytest.raises(SettingsError, match=r"^sql: \["):
        printed(house, f"SELECT {call}('java.lang.System', 'lineSeparator') AS told")


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT text FROM texts WHERE text LIKE '%insert into%' OR text = 'drop table'",
        "WITH a AS (SELECT dt FROM texts) SELECT dt, count(*) OVER (PARTITION BY dt) FROM a TABLESAMPLE (50 PERCENT)",
        "SELECT * FROM (SELECT scene, 1 AS n FROM texts) PIVOT (sum(n) FOR scene IN ('live_chat', 'photo'))",
        "SELECT a.text_id FROM texts a LEFT JOIN labels b USING (text_id) GROUP BY ALL HAVING count(*) > 9 LIMIT 3",
        "SELECT x, count(*) FROM texts LATERAL VIEW explode(settled) s AS x GROUP BY x",
        "FROM texts |> WHERE scene = 'photo' |> AGGREGATE count(*) GROUP BY dt",
        "(SELECT 1 AS a) UNION ALL (SELECT 2) EXCEPT (VALUES (3)) ORDER BY a",
        "SELECT * FROM range(3) r(id), LATERAL (SELECT id + 1 AS next) WHERE EXISTS (SELECT 1 FROM texts)",
        "TABLE labels",
        "SELECT count(*) FROM texts VERSION AS OF 0",
        "SELECT /*+ BROADCAST(t) */ rank() OVER w FROM texts t WINDOW w AS (ORDER BY dt);",
        "EXPLAIN SELECT 1",
        "DESCRIBE labels",
        "DESCRIBE QUERY SELECT 1",
        "SHOW TABLES",
    ],
)
def test_queries_and_what_only_describes_are_run(house: Lake, statement: str) -> None:
    assert printed(house, statement)


@pytest.mark.parametrize(
    ("query", "condition"),
    [
        ("SELECT 1/0 AS a", "DIVIDE_BY_ZERO at 1/0"),
        ("SELECT cast(text AS int) FROM texts", "CAST_INVALID_INPUT at cast"),
        ("SELECT text FROM texts WHERE text > 1", "CAST_INVALID_INPUT at text > 1"),
        ("SELECT raise_error(text) FROM texts", "USER_RAISED_EXCEPTION"),
        ("SELECT element_at(array(1), 4) AS a", "INVALID_ARRAY_INDEX_IN_ELEMENT_AT"),
    ],
)
def test_an_error_under_way_is_one_line_without_a_text(house: Lake, query: str, condition: str) -> None:
    with pytest.raises(SettingsError) as caught:
        printed(house, query)
    told = str(caught.value)
    assert told.startswith(f"sql: {condition}")
    assert "\n" not in told
    assert not any(row["text"] in told for row in house.rows(tables.TEXTS))


def test_a_moment_that_is_none_is_told(house: Lake) -> None:
    with pytest.raises(SettingsError, match="--as-of: got 'yesterday'"):
        sql.prepare(house, context_for(house).settings, "yesterday")
