"""The contract check on every write: all differences in one error, then the declared columns in their order."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql.types import ArrayType, DataType, MapType, StructType

from jobs.lake.tables import Table
from models.errors import SchemaError


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
        if name in got and not _same(got[name], kind)
    ]
    if problems:
        raise SchemaError(f"{table.name}: {'; '.join(problems)}; make the frame as jobs/lake/tables.py declares it")
    return frame.select(*table.names)


def _same(got: DataType, declared: DataType) -> bool:
    """Equal types, whatever they say of nulls inside (Delta checks `not null` itself)."""
    if isinstance(got, ArrayType) and isinstance(declared, ArrayType):
        return _same(got.elementType, declared.elementType)
    if isinstance(got, MapType) and isinstance(declared, MapType):
        return _same(got.keyType, declared.keyType) and _same(got.valueType, declared.valueType)
    if isinstance(got, StructType) and isinstance(declared, StructType):
        names = [field.name for field in got.fields] == [field.name for field in declared.fields]
        return names and all(_same(a.dataType, b.dataType) for a, b in zip(got.fields, declared.fields, strict=True))
    return got == declared
