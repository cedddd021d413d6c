"""A folder on a disk or in an object store, as driver and executors open it for Arrow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow.fs as pafs


@dataclass(frozen=True)
class Storage:
    """A folder: a path, or a URI that Arrow knows (`s3://`, `gs://`, `hdfs://`).

    Attributes:
        uri: Where.
        options: How it is reached, as delta-rs names it (`AWS_ENDPOINT_URL`, `AWS_ACCESS_KEY_ID`, …).
    """

    uri: str
    options: Mapping[str, str] = field(default_factory=dict)

    def open(self) -> pafs.FileSystem:
        """The folder as a file system of its own."""
        system, root = pafs.FileSystem.from_uri(self.uri)
        return pafs.SubTreeFileSystem(root, system)
