"""Dialects of delimited files: what quotes and escapes mean, how nulls are spelt, what the columns are called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema, field_validator

from models.settings_base import Frozen


class Dialect(Frozen):
    """How fields and records of a delimited file are told apart; by default as spreadsheets write them (RFC 4180)."""

    delimiter: str | None = Field(None, description="Between two fields; by default that of the format.")
    quote: str = Field('"', max_length=1, description="Around a field; empty: nothing is quoted.")
    escape: Literal["double", "backslash", "c_style"] = Field(
        "double",
        description="`double`: a quote within quotes is written twice. `backslash`: within quotes a backslash stands "
        "before a quote or a backslash (Spark). `c_style`: a backslash takes the next character as it is, and `\\n`, "
        "`\\t`, `\\r`, `\\b`, `\\0` and `\\Z` are what they are in MySQL, within quotes and without.",
    )
    null: tuple[str, ...] = Field((), description="Unquoted fields that stand for a missing value, such as `\\N`.")
    comment: str = Field("", description="What a line begins with that is no record; empty: no line.")
    line_end: Literal["lf", "cr"] = Field("lf", description="`lf` takes `\\r\\n` too; `cr` is a bare carriage return.")
    header: tuple[str, ...] | None = Field(
        None, min_length=1, description="The columns' names in their order, where a file's first line is a record."
    )

    @field_validator("delimiter")
    @classmethod
    def _separates(cls, value: str | None) -> str | None:
        if value is not None and (not value or set(value) & set("\r\n\0\\")):
            raise ValueError("a delimiter is at least one character, and none of line ends, NUL and backslash")
        return value

    @property
    def is_plain(self) -> bool:
        """Whether it is the spreadsheets' own but for the delimiter and nulls, which Python's csv module reads."""
        return self.model_copy(update={"delimiter": None, "null": ()}) == EXCEL and len(self.delimiter or ",") == 1


EXCEL = Dialect()
NAMED: Mapping[str, Dialect] = {
    "excel": EXCEL,
    "spark": Dialect(escape="backslash"),
    "mysql": Dialect(quote="", escape="c_style", null=("\\N",)),
    "postgres": Dialect(quote="", escape="c_style", null=("\\N",)),
    "hive": Dialect(delimiter="\x01", quote="", null=("\\N",)),
    "unquoted": Dialect(quote=""),
}
"""By name: spreadsheets; Spark's CSV writer; MySQL's `INTO OUTFILE` and PostgreSQL's `COPY`; Hive's text files; and
what writes texts as they are between tabs."""


def _of_name(value: Any) -> Any:
    if isinstance(value, str):
        if value not in NAMED:
            raise ValueError(f"not a dialect; known are {', '.join(NAMED)}, or name its keys")
        return NAMED[value]
    if isinstance(value, Mapping):
        keys = dict(value)
        like = keys.pop("like", "excel")
        if like not in NAMED:
            raise ValueError(f"like: not a dialect; known are {', '.join(NAMED)}")
        return NAMED[like].model_dump() | keys
    return value


DialectSetting = Annotated[
    Dialect,
    BeforeValidator(_of_name),
    WithJsonSchema({"anyOf": [{"enum": list(NAMED)}, {"type": "object"}]}),
]
DIALECTS = (
    "The dialect of CSV and TSV: `excel`, `spark`, `mysql`, `postgres`, `hive` or `unquoted`, or single keys (`like` "
    "names the one that gives the rest): `delimiter`, `quote`, `escape` (`double`, `backslash`, `c_style`), `null`, "
    "`comment`, `line_end` (`lf`, `cr`), `header` (names, where the file has none). Without it files are read as "
    "`excel`, and one that another dialect reads to other rows is refused as `file_ambiguous`."
)
"""What the setting `dialect` may say."""
