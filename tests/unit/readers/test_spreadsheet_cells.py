"""No cell begins a formula, and every cell comes back as it was."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from udfs.readers.spreadsheet_cells import escaped, unescaped

CELLS = st.text(st.sampled_from("'=+-@\t\r＝＋－＠a好 \n"), max_size=6)


@pytest.mark.parametrize("sign", list("=+-@\t\r＝＋－＠"))
def test_a_formula_is_quoted(sign: str) -> None:
    assert escaped(f"{sign}HYPERLINK(A1)") == f"'{sign}HYPERLINK(A1)"


@pytest.mark.parametrize("cell", ["", "好", "'好'", "1=1", "a@b"])
def test_any_other_cell_stays_as_it_is(cell: str) -> None:
    assert escaped(cell) == unescaped(cell) == cell


@given(CELLS)
def test_what_was_escaped_comes_back(cell: str) -> None:
    assert unescaped(escaped(cell)) == cell
    assert escaped(cell)[:1] not in set("=+-@\t\r＝＋－＠") - {""}
