"""Rows and frames against a table's declaration: all differences in one error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import ArrayType, DataType, MapType, StructType

from jobs.lake.tables import Table
from models.errors import SchemaError


@dataclass(frozen=True, slots=True)
class Differences:
    """How a stored table differs from its declaration. A further column that may be null does no harm and is none.

    Attributes:
        missing: Declared columns that the table lacks.
        required: Those of them that may not be null, and columns of the table that may not be and are not declared.
        retyped: Columns of another type, in words.
    """

    missing: tuple[str, ...]
    required: tuple[str, ...]
    retyped: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.missing or self.required or self.retyped)

    @property
    def addable(self) -> bool:
        """Whether adding columns mends all of it."""
        return not (self.required or self.retyped)

    def described(self) -> str:
        """All of it in words."""
        lacks = [f"lacks {name}" for name in self.missing]
        return ", ".join([*lacks, *(f"{name} may not be null" for name in self.required), *self.retyped])


def differences(stored: StructType, table: Table) -> Differences:
    """How a table's stored columns differ from the declared ones."""
    got = {field.name: field for field in stored.fields}
    declared = {field.name: field for field in table.schema.fields}
    missing = tuple(name for name in declared if name not in got)
    required = [name for name in missing if not declared[name].nullable]
    required += [name for name, field in got.items() if name not in declared and not field.nullable]
    retyped = (
        f"{name} is {got[name].dataType.simpleString()}, declared {field.dataType.simpleString()}"
        for name, field in declared.items()
        if name in got and not same_type(got[name].dataType, field.dataType)
    )
    return Differences(missing, tuple(required), tuple(retyped))


def conform(frame: DataFrame, table: Table) -> DataFrame:
    """The frame's columns as the table declares them, in order.

    Raises:
        SchemaError: listing every missing, extra and differently typed column at once.
    """
    declared = {field.name: field.dataType for field in table.schema.fields}
    got = {field.name: field.dataType for field in frame.schema.fields}
    problems = [f"missing {name} {kind.simpleString()}" for name, kind in declared.items() if name not in got]
    problems += [f"extra {name} {kind.simpleString()}" for name, kind in got.items() if name not in declared]
    problems += [
        f"{name} is {got[name].simpleString()}, declared {kind.simpleString()}"
        for name, kind in declared.items()
        if name in got and not same_type(got[name], kind)
    ]
    if problems:
        raise SchemaError(f"{table.name}: {'; '.join(problems)}; make the frame as jobs/lake/tables.py declares it")
    return frame.select(*table.names)


def frame_of_rows(spark: SparkSession, table: Table, rows: Sequence[Mapping[str, Any]]) -> DataFrame:
    """Rows as a frame with the columns that the table declares; what a row leaves out is null.

    Raises:
        SchemaError: A row has something that the table does not.
    """
    _expect_known(table, rows)
    return spark.createDataFrame([tuple(row.get(name) for name in table.names) for row in rows], table.schema)


def conformed_rows(table: Table, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Rows as an Arrow table with the columns that the table declares; what a row leaves out is null.

    Raises:
        SchemaError: A row has something that the table does not, or of another type, or null where none may be.
    """
    _expect_known(table, rows)
    columns = []
    for field in table.columns:
        values = [row.get(field.name) for row in rows]
        if pa.types.is_map(field.type):
            values = [list(value.items()) if isinstance(value, Mapping) else value for value in values]
        try:
            column = pa.array(values, field.type)
        except (pa.ArrowException, TypeError, ValueError) as error:
            raise SchemaError(
                f"{table.name}: {field.name} is declared {field.type}, got something else ({type(error).__name__}); "
                "make the rows as jobs/lake/tables.py declares them"
            ) from None
        if column.null_count and not field.nullable:
            raise SchemaError(f"{table.name}: {field.name} may not be null; give every row a value")
        columns.append(column)
    return pa.Table.from_arrays(columns, schema=table.columns)


def _expect_known(table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    if unknown := sorted({name for row in rows for name in row} - set(table.names)):
        raise SchemaError(f"{table.name}: has no {', '.join(unknown)}; declare it in jobs/lake/tables.py")


def same_type(got: DataType, declared: DataType) -> bool:
    """Equal types, whatever they say of nulls inside (Delta checks `not null` itself)."""
    if isinstance(got, ArrayType) and isinstance(declared, ArrayType):
        return same_type(got.elementType, declared.elementType)
    if isinstance(got, MapType) and isinstance(declared, MapType):
        return same_type(got.keyType, declared.keyType) and same_type(got.valueType, declared.valueType)
    if isinstance(got, StructType) and isinstance(declared, StructType):
        if [field.name for field in got.fields] != [field.name for field in declared.fields]:
            return False
        pairs = zip(got.fields, declared.fields, strict=True)
        return all(same_type(one.dataType, other.dataType) for one, other in pairs)
    return got == declared
