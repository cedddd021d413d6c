"""A warehouse that another version made: what may be null is added by `init`, anything else is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pyarrow as pa
import pytest

from jobs.lake import tables
from jobs.lake.store import Lake
from jobs.lake.tables import Table
from jobs.operations import init
from models.errors import SchemaError
from tests.support import NEW_YEAR, add, context_of, do, promotion_row, rows_of

pytestmark = pytest.mark.spark


def declared(monkeypatch: pytest.MonkeyPatch, table: Table, columns: pa.Schema) -> Table:
    """The table as a next version declares it."""
    grown = replace(table, columns=columns)
    everyone = tuple(grown if one.name == table.name else one for one in tables.ALL)
    monkeypatch.setattr(tables, "ALL", everyone)
    monkeypatch.setattr(tables, "BY_NAME", {one.name: one for one in everyone})
    return grown


@pytest.fixture
def old(lake: Callable[..., Lake]) -> Lake:
    """All tables of today, one of them with a row."""
    made = lake(*tables.ALL)
    add(made, tables.PROMOTIONS, promotion_row("praise/textcnn/a", NEW_YEAR))
    return made


def reopened(lake: Lake) -> Lake:
    """The same warehouse, as another run opens it."""
    context = context_of(lake)
    return context.lake


def test_a_new_column_is_refused_by_name_until_init_adds_it(old: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    grown = declared(monkeypatch, tables.PROMOTIONS, tables.PROMOTIONS.columns.append(pa.field("note", pa.string())))
    with pytest.raises(SchemaError, match=r"promotions: lacks note; an earlier version made it: run `pingti init`"):
        reopened(old).read(grown)

    context = context_of(reopened(old), "init")
    assert init.plan(context).steps == ("add to promotions of an earlier version: note",)
    done = do(init.JOB, context)
    assert done is not None
    assert done.counts == {"tables": 0, "columns": 1}
    own = reopened(old)
    assert rows_of(own.read(grown), "model_id", "note") == [("praise/textcnn/a", None)]
    add(own, grown, promotion_row("praise/textcnn/b", NEW_YEAR.replace(month=2)) | {"note": "since then"})
    assert rows_of(own.read(grown), "model_id", "note")[1] == ("praise/textcnn/b", "since then")
    assert do(init.JOB, context_of(own, "init")) is None


def test_what_cannot_be_added_is_told_of_all_tables_at_once(old: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tables.PROMOTIONS.columns
    other = other.set(other.get_field_index("threshold_version"), pa.field("threshold_version", pa.string(), False))
    declared(monkeypatch, tables.PROMOTIONS, other)
    declared(monkeypatch, tables.LABELS, tables.LABELS.columns.append(pa.field("decided_by", pa.string(), False)))
    with pytest.raises(SchemaError) as caught:
        init.plan(context_of(reopened(old), "init"))
    assert "promotions: threshold_version is int, declared string" in str(caught.value)
    assert "labels: lacks decided_by, decided_by may not be null" in str(caught.value)
    assert "name another lake.location" in str(caught.value)


def test_a_column_that_somebody_added_does_no_harm(old: Lake) -> None:
    old.spark.sql(f"ALTER TABLE {old.catalog.register(tables.PROMOTIONS)} ADD COLUMNS (seen_by string)")
    own = reopened(old)
    add(own, tables.PROMOTIONS, promotion_row("praise/textcnn/b", NEW_YEAR.replace(month=2)))
    assert own.read(tables.PROMOTIONS).count() == 2
    assert do(init.JOB, context_of(own, "init")) is None
