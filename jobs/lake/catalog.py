"""The tables in the session's catalog: where they lie, made, registered, and compared with their declaration."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pyspark.sql import SparkSession

from jobs.lake import tables
from jobs.lake.schema_check import Differences, differences
from jobs.lake.tables import Table
from jobs.settings import LakeSettings
from models.errors import DataError, SchemaError, SettingsError

# Every file holds digests of the whole range: their least and greatest rule out none, and cost a comparison a row.
_DIGESTS = ("text_id", "text_hash")


class Catalog:
    """The tables of one schema, as the session's catalog and the warehouse's folders know them."""

    def __init__(self, spark: SparkSession, settings: LakeSettings, timezone: str) -> None:
        for name, place in (("location", settings.location), ("bundles", settings.bundles)):
            if "://" in (place or ""):
                raise SettingsError(
                    f"lake.{name}: {place} is no path that every machine has mounted; give one, or leave lake.location "
                    "out and let the catalog place the tables"
                )
        self.schema_name = settings.schema_name
        self.root = Path(settings.location).resolve() if settings.location else None
        self._spark = spark
        self._timezone = timezone
        self._checked: set[str] = set()

    def name(self, table: Table) -> str:
        """The table's name in SQL."""
        return f"{self.schema_name}.{table.name}"

    def require(self, table: Table) -> str:
        """The table's name, registered, and compared with its declaration when it is first asked for.

        Raises:
            DataError: There is no such table.
            SchemaError: It lacks a declared column, or has one of another type.
            SettingsError: It lies elsewhere than the settings say, or its days are days of another zone.
        """
        if not self._register(table):
            raise DataError(f"{self.name(table)}: no such table; run `pingti init` first")
        if table.name not in self._checked:
            self._check_zone(table)
            found = self._differences(table)
            if found:
                raise SchemaError(f"{self.name(table)}: {found.described()}; {_remedy([found])}")
            self._checked.add(table.name)
        return self.name(table)

    # --- making and evolving ------------------------------------------------------------------------------------

    def missing(self) -> list[Table]:
        """The declared tables that are not there yet."""
        return [table for table in tables.ALL if not self.exists(table)]

    def make(self, wanted: Sequence[Table] = tables.ALL) -> list[str]:
        """Make those of the tables that are not there yet; returns their names."""
        missing = [table for table in wanted if not self.exists(table)]
        with ThreadPoolExecutor(4) as pool:  # a creation waits for the disk more than for the processor
            list(pool.map(self._create, missing))
        return [table.name for table in missing]

    def outdated(self) -> dict[str, tuple[str, ...]]:
        """The columns to add to each table that an earlier version made, by the table's name.

        Raises:
            SchemaError: A table differs in more than columns that may be null; all such tables at once.
        """
        found = {table: self._differences(table) for table in tables.ALL if self._register(table)}
        stuck = {table: one for table, one in found.items() if one and not one.addable}
        if stuck:
            problems = "; ".join(f"{self.name(table)}: {one.described()}" for table, one in stuck.items())
            raise SchemaError(f"{problems}; {_remedy(list(stuck.values()))}")
        return {table.name: one.missing for table, one in found.items() if one}

    def add_columns(self, table: Table, columns: Sequence[str]) -> None:
        """Add declared columns to a table that an earlier version made; their rows so far are null there."""
        declared = ", ".join(
            f"{field.name} {field.dataType.simpleString()}" for field in table.schema.fields if field.name in columns
        )
        self._spark.sql(f"ALTER TABLE {self.name(table)} ADD COLUMNS ({declared})")

    def exists(self, table: Table) -> bool:
        """Whether the table was made, here or in another session."""
        if self.root is not None:
            # A kill may leave the folder of the log without a commit in it.
            return self.newest_commit(table) is not None
        return bool(self._spark.catalog.tableExists(self.name(table)))

    def newest_commit(self, table: Table) -> str | None:
        """The name of the table's last commit as its folder lists it; None where the catalog keeps the place."""
        if self.root is None:
            return None
        return max((path.name for path in (self.root / table.name / "_delta_log").glob("*.json")), default=None)

    def _create(self, table: Table) -> None:
        self._spark.sql(f"CREATE SCHEMA IF NOT EXISTS {self.schema_name}")
        indexed = ", ".join(dict.fromkeys(name for name in (*table.key, "dt", "load_id") if _indexed(table, name)))
        properties = [f"'pingti.timezone' = '{self._timezone}'"]
        # Statistics over texts would copy pupils' words into the log; over keys and days they serve.
        properties += [
            f"'delta.dataSkippingStatsColumns' = '{indexed}'" if indexed else "'delta.dataSkippingNumIndexedCols' = '0'"
        ]
        properties += ["'delta.appendOnly' = 'true'"] if table.append_only else []
        partition = f"PARTITIONED BY ({', '.join(table.partition)})" if table.partition else ""
        location = f"LOCATION '{self._location(table)}'" if self.root else ""
        comment = table.comment.replace("'", "\\'")
        self._spark.sql(
            f"CREATE TABLE IF NOT EXISTS {self.name(table)} ({table.columns}) USING DELTA {partition} {location} "
            f"COMMENT '{comment}' TBLPROPERTIES ({', '.join(properties)})"
        )

    # --- registering and checking -------------------------------------------------------------------------------

    def _register(self, table: Table) -> bool:
        """Make the catalog know the table, which the embedded one forgets between sessions; False if there is none."""
        if self._spark.catalog.tableExists(self.name(table)):
            if table.name not in self._checked:
                self._check_place(table)
            return True
        if self.root is None or not self.exists(table):
            return False
        self._spark.sql(f"CREATE SCHEMA IF NOT EXISTS {self.schema_name}")
        self._spark.sql(f"CREATE TABLE IF NOT EXISTS {self.name(table)} USING DELTA LOCATION '{self._location(table)}'")
        return True

    def _differences(self, table: Table) -> Differences:
        return differences(self._spark.table(self.name(table)).schema, table)

    def _check_place(self, table: Table) -> None:
        """A catalog that outlives sessions may know the table at another place."""
        if self.root is None:
            return
        # Delta's own DESCRIBE DETAIL would read the log for it, a second a table.
        described = {
            row["col_name"]: row["data_type"]
            for row in self._spark.sql(f"DESCRIBE EXTENDED {self.name(table)}").collect()
        }
        place = Path(unquote(urlsplit(described["Location"]).path))
        if place != self.root / table.name:
            raise SettingsError(
                f"{self.name(table)}: the catalog has it at {place}, lake.location says {self.root / table.name}; "
                "choose another lake.schema_name, or leave lake.location out"
            )

    def _check_zone(self, table: Table) -> None:
        rows = self._spark.sql(f"SHOW TBLPROPERTIES {self.name(table)}").collect()
        zone = {row["key"]: row["value"] for row in rows}.get("pingti.timezone")
        if zone != self._timezone:
            raise SettingsError(
                f"{self.name(table)}: its days are days of {zone}, the settings say {self._timezone}; "
                "set session.timezone to the table's zone, or use another warehouse"
            )

    def _location(self, table: Table) -> str:
        location = str(self.root / table.name) if self.root else ""
        if "'" in location or "\\" in location:
            raise SettingsError(f"lake.location: {location} has a quote or backslash; choose a plainer path")
        return location


def _indexed(table: Table, name: str) -> bool:
    return name in table.names and name not in (*table.partition, *_DIGESTS)


def _remedy(found: Sequence[Differences]) -> str:
    if all(one.addable for one in found):
        return "an earlier version made it: run `pingti init`, which adds what may be null"
    return "another version made it: use that version, or name another lake.location and run `pingti init`"
