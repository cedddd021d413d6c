"""Where the tables lie: made, registered in the session's catalog, and compared with their declaration."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from delta import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

from jobs.lake import tables
from jobs.lake.arrow_reader import UnopenedError
from jobs.lake.arrow_tables import ArrowTables
from jobs.lake.schema_check import Differences, differences
from jobs.lake.tables import Table
from jobs.settings import LakeSettings
from models.errors import DataError, SchemaError, SettingsError
from udfs.storage import is_uri, without_file_scheme

# Every file holds digests of the whole range: their least and greatest rule out none, and cost a comparison a row.
_DIGESTS = ("text_id", "text_hash")
_ZONE = "pingti.timezone"
# What would end quotes in SQL; what Spark and Hadoop read as parts of a URI or as patterns, and so as another place.
_UNSAFE = "'\"\\`%#?*{}"


class Catalog:
    """The tables of one schema, at the places that the settings or the session's catalog give them.

    Attributes:
        root: The folder of all tables, a path or a URI; None where the catalog gives each its own.
        arrow: The tables as delta-rs opens them.
    """

    def __init__(
        self, session: Callable[[], SparkSession], settings: LakeSettings, timezone: str,
        storage_options: Callable[[], Mapping[str, str]],
    ) -> None:  # fmt: skip
        self.schema_name = settings.schema_name
        self.root = _absolute(settings.location) if settings.location else None
        self.arrow = ArrowTables(self.place, storage_options)
        self._session = session
        self._timezone = timezone
        self._checked: set[str] = set()
        self._registered: set[str] = set()

    def name(self, table: Table) -> str:
        """The table's name in SQL."""
        return f"{self.schema_name}.{table.name}"

    def place(self, table: Table) -> str | None:
        """Where the table lies or would lie; None where the catalog gives the places and has no such table."""
        if self.root is not None:
            return f"{self.root}/{table.name}"
        return self._known_place(table) if self._session().catalog.tableExists(self.name(table)) else None

    def require(self, table: Table) -> None:
        """Compare the table with its declaration, when it is first asked for.

        Raises:
            DataError: There is no such table.
            SchemaError: It lacks a declared column, or has one of another type.
            SettingsError: Its days are days of another zone.
        """
        if table.name in self._checked:
            return
        if not self.exists(table):
            raise DataError(f"{self.name(table)}: no such table; run `pingti init` first")
        self._check_zone(table)
        found = self._differences(table)
        if found:
            raise SchemaError(f"{self.name(table)}: {found.described()}; {_remedy([found])}")
        self._checked.add(table.name)

    def left_to_spark(self, table: Table) -> str | None:
        """Why the rows of a table are left to Spark, None where they need not be."""
        self.require(table)
        try:
            return self.arrow.refusal(table)
        except UnopenedError as error:
            return str(error)

    def register(self, table: Table) -> str:
        """The table's name in SQL, which the session's catalog knows from now on.

        Raises:
            DataError: There is no such table.
            SettingsError: The catalog knows it at another place than the settings.
        """
        self.require(table)
        if table.name not in self._registered and self.root is not None:
            spark, name = self._session(), self.name(table)
            if spark.catalog.tableExists(name):
                self._check_place(table)
            else:
                spark.sql(f"CREATE SCHEMA IF NOT EXISTS {self.schema_name}")
                spark.sql(f"CREATE TABLE IF NOT EXISTS {name} USING DELTA LOCATION '{self._quoted(table)}'")
        self._registered.add(table.name)
        return self.name(table)

    def frame(self, table: Table) -> DataFrame:
        """The table as it is now, as Spark reads it."""
        if self.root is None:
            return self._session().table(self.name(table))
        return self._session().read.format("delta").load(f"{self.root}/{table.name}")

    def delta(self, table: Table) -> DeltaTable:
        """The table as Delta's own API has it."""
        if self.root is None:
            return DeltaTable.forName(self._session(), self.name(table))
        return DeltaTable.forPath(self._session(), f"{self.root}/{table.name}")

    # --- making and evolving ------------------------------------------------------------------------------------

    def exists(self, table: Table) -> bool:
        """Whether the table was made, here or in another session."""
        try:
            return self.arrow.opened(table) is not None
        except UnopenedError:
            return True

    def missing(self) -> list[Table]:
        """The declared tables that are not there yet."""
        return [table for table in tables.ALL if not self.exists(table)]

    def make(self, wanted: Sequence[Table] = tables.ALL) -> list[str]:
        """Make those of the tables that are not there yet; returns their names."""
        missing = [table for table in wanted if not self.exists(table)]
        for table in missing:
            if self.root is not None:
                self.arrow.make(table, self._quoted(table), self._properties(table))
            else:
                self._create_by_spark(table)
        return [table.name for table in missing]

    def outdated(self) -> dict[str, tuple[str, ...]]:
        """The columns to add to each table that an earlier version made, by the table's name.

        Raises:
            SchemaError: A table differs in more than columns that may be null; all such tables at once.
        """
        found = {table: self._differences(table) for table in tables.ALL if self.exists(table)}
        stuck = {table: one for table, one in found.items() if one and not one.addable}
        if stuck:
            problems = "; ".join(f"{self.name(table)}: {one.described()}" for table, one in stuck.items())
            raise SchemaError(f"{problems}; {_remedy(list(stuck.values()))}")
        return {table.name: one.missing for table, one in found.items() if one}

    def add_columns(self, table: Table, columns: Sequence[str]) -> None:
        """Add declared columns to a table that an earlier version made; their rows so far are null there."""
        try:
            if self.arrow.refusal(table) is None:
                self.arrow.add_columns(table, columns)
                return
        except UnopenedError:
            pass
        declared = ", ".join(f"{name} {table.schema[name].dataType.simpleString()}" for name in columns)
        place = f"delta.`{self._quoted(table)}`" if self.root is not None else self.name(table)
        self._session().sql(f"ALTER TABLE {place} ADD COLUMNS ({declared})")

    def _properties(self, table: Table) -> Mapping[str, str]:
        # Statistics over texts would copy pupils' words into the log; over keys and days they serve.
        indexed = ",".join(dict.fromkeys(name for name in (*table.key, "dt", "load_id") if _indexed(table, name)))
        properties = {_ZONE: self._timezone, "delta.dataSkippingStatsColumns": indexed}
        if not indexed:
            properties = {_ZONE: self._timezone, "delta.dataSkippingNumIndexedCols": "0"}
        return properties | ({"delta.appendOnly": "true"} if table.append_only else {})

    def _create_by_spark(self, table: Table) -> None:
        spark = self._session()
        spark.sql(f"CREATE SCHEMA IF NOT EXISTS {self.schema_name}")
        properties = ", ".join(f"'{name}' = '{value}'" for name, value in self._properties(table).items())
        partition = f"PARTITIONED BY ({', '.join(table.partition)})" if table.partition else ""
        declared = ", ".join(
            f"{field.name} {field.dataType.simpleString()}{'' if field.nullable else ' NOT NULL'}"
            for field in table.schema.fields
        )
        comment = table.comment.replace("'", "\\'")
        spark.sql(
            f"CREATE TABLE IF NOT EXISTS {self.name(table)} ({declared}) USING DELTA {partition} "
            f"COMMENT '{comment}' TBLPROPERTIES ({properties})"
        )

    # --- checking -----------------------------------------------------------------------------------------------

    def _differences(self, table: Table) -> Differences:
        try:
            stored = StructType.fromJson(json.loads(self.arrow.existing(table).schema().to_json()))
        except UnopenedError:
            stored = self.frame(table).schema
        return differences(stored, table)

    def _check_zone(self, table: Table) -> None:
        try:
            zone = self.arrow.existing(table).metadata().configuration.get(_ZONE)
        except UnopenedError:
            found = self._session().sql(f"SHOW TBLPROPERTIES {self.name(table)}").collect()
            zone = {row["key"]: row["value"] for row in found}.get(_ZONE)
        if zone != self._timezone:
            raise SettingsError(
                f"{self.name(table)}: its days are days of {zone}, the settings say {self._timezone}; "
                "set session.timezone to the table's zone, or use another warehouse"
            )

    def _check_place(self, table: Table) -> None:
        """A catalog that outlives sessions may know the table at another place."""
        known, wanted = self._known_place(table), self.place(table)
        if known != wanted:
            raise SettingsError(
                f"{self.name(table)}: the catalog has it at {known}, lake.location says {wanted}; "
                "choose another lake.schema_name, or leave lake.location out"
            )

    def _known_place(self, table: Table) -> str:
        """Where the session's catalog has the table: a path, or a URI of another file system."""
        # Delta's own DESCRIBE DETAIL would read the log for it, a second a table.
        rows = self._session().sql(f"DESCRIBE EXTENDED {self.name(table)}").collect()
        location: str = {row["col_name"]: row["data_type"] for row in rows}["Location"]
        return without_file_scheme(location)

    def _quoted(self, table: Table) -> str:
        place = self.place(table) or ""
        if signs := [sign for sign in _UNSAFE if sign in place]:
            raise SettingsError(f"lake.location: {place} has {' '.join(signs)}; choose a plainer path")
        return place


def _absolute(place: str) -> str:
    place = without_file_scheme(place)
    return place.rstrip("/") if is_uri(place) else str(Path(place).resolve())


def _indexed(table: Table, name: str) -> bool:
    return name in table.names and name not in (*table.partition, *_DIGESTS)


def _remedy(found: Sequence[Differences]) -> str:
    if all(one.addable for one in found):
        return "an earlier version made it: run `pingti init`, which adds what may be null"
    return "another version made it: use that version, or name another lake.location and run `pingti init`"
