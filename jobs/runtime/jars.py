"""Delta's JARs: fetched once by coordinates, checked by digest, then used as local files.

Spark's own resolver fetches them (it knows the public repository and the machine's mirror settings), in a
process of its own: a JVM that started without Delta stays without it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from models import digests
from models.errors import EnvError
from models.folders import cache, replaced_file

COORDINATES = "io.delta:delta-spark_4.2_2.13:4.4.0"
# All that Delta adds to what PySpark already ships; everything else of its dependencies is there.
SHA256 = {
    "io.delta_delta-kernel-api-4.4.0.jar": "ee9b5a14ac3b7efdff4d61a58478fe8eb0e5a3fbca43889dca7290795fe79a11",
    "io.delta_delta-kernel-defaults-4.4.0.jar": "225c975199e4718b38ee5b7e6da7f19e9585024262b2cec2656b32151a856b0b",
    "io.delta_delta-kernel-unitycatalog-4.4.0.jar": "cea22dfb4ac562b3cd27bf652697750e8336009d73fb06631363aaaad5345ffa",
    "io.delta_delta-spark_4.2_2.13-4.4.0.jar": "27d4fd8b1f879535c573ed1c718177d6a27f24d3e626ba02e216369725721ead",
    "io.delta_delta-storage-4.4.0.jar": "c46735481fa8e326b0957be02b4420cbcab4b325bb08009b7f2045a95133f1cc",
    "io.unitycatalog_unitycatalog-client-0.6.0.jar": "48257499a86b801a3e2372cec55ac226ca1c1c7eabe5c118e7302f29a1fdbc19",
    "io.unitycatalog_unitycatalog-hadoop-0.6.0.jar": "c47b63c961c87102b9e1d63809a0915ba4c86b7652f57c8d39ca3a05b441a150",
}
_IN_PYSPARK = "org.*:*,com.*:*,commons*:*,javax*:*,io.airlift:*"
_FETCH_SECONDS = 300
_FETCH = """
import sys
from pyspark.sql import SparkSession
builder = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false")
builder = builder.config("spark.driver.host", "127.0.0.1").config("spark.driver.bindAddress", "127.0.0.1")
builder = builder.config("spark.jars.packages", sys.argv[1]).config("spark.jars.excludes", sys.argv[2])
builder.config("spark.jars.ivy", sys.argv[3]).getOrCreate().stop()
"""


def ensure() -> list[Path]:
    """The JARs as local files, fetched where they are missing.

    Raises:
        EnvError: where they cannot be fetched, or are not what their digests say.
    """
    folder = cache() / "jars" / "delta-4.4.0"
    if not all((folder / name).is_file() for name in SHA256):
        _fetch(folder)
    damaged = [name for name, want in SHA256.items() if digests.of_file(folder / name) != want]
    if damaged:
        raise EnvError(
            f"{folder}: {', '.join(damaged)} has another digest than expected; delete that folder and run `make jars`"
        )
    return [folder / name for name in SHA256]


def _fetch(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-c", _FETCH, COORDINATES, _IN_PYSPARK, scratch]
        environment = os.environ | {"PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
        try:
            subprocess.run(command, env=environment, capture_output=True, timeout=_FETCH_SECONDS, check=True)
        except (subprocess.SubprocessError, OSError):
            raise EnvError(
                f"Delta's JARs ({COORDINATES}) could not be fetched from the Maven repository; connect to the network "
                f"and run `make jars` again, or put the {len(SHA256)} files into {folder} by hand"
            ) from None
        folder.mkdir(parents=True, exist_ok=True)
        for name in SHA256:
            with replaced_file(folder / name) as partial:
                shutil.copyfile(Path(scratch) / "jars" / name, partial)


if __name__ == "__main__":
    try:
        ensure()
    except EnvError as error:
        sys.stderr.write(f"pingti: {error}\n")
        sys.exit(error.exit_code)
