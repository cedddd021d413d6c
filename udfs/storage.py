"""A folder on a disk or in an object store, as driver and executors open it for Arrow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

import pyarrow.fs as pafs

from models.errors import SettingsError

S3_SCHEMES = ("s3", "s3a", "oss")
"""Stores that speak S3; `s3a` is what Hadoop calls the same, and OSS answers at an S3 endpoint of its own."""


def is_uri(place: str) -> bool:
    """Whether a place is a URI of another file system than the machine's own."""
    return "://" in place


def without_file_scheme(place: str) -> str:
    """A `file:` URI as the path that it names; any other place as it is."""
    split = urlsplit(place)
    return unquote(split.path) if split.scheme == "file" else place


def has_folders(system: pafs.FileSystem) -> bool:
    """Whether a file's folder must be made before it; in S3 a folder would be an empty object beside the files."""
    base = system.base_fs if isinstance(system, pafs.SubTreeFileSystem) else system
    return not isinstance(base, pafs.S3FileSystem)


@dataclass(frozen=True)
class Storage:
    """A folder: a path, or a URI that Arrow knows (`s3://`, `gs://`, `hdfs://`).

    Attributes:
        uri: Where.
        options: How it is reached, as delta-rs names it (`AWS_ENDPOINT_URL`, `AWS_ACCESS_KEY_ID`, …). Where keys are
            not among them, the store's own library looks for credentials (environment, profile, machine).
    """

    uri: str
    options: Mapping[str, str] = field(default_factory=dict, repr=False)

    def open(self) -> pafs.FileSystem:
        """The folder as a file system of its own."""
        if not is_uri(self.uri):
            return pafs.SubTreeFileSystem(self.uri, pafs.LocalFileSystem())
        split = urlsplit(self.uri)
        if split.scheme in S3_SCHEMES:
            return pafs.SubTreeFileSystem(unquote(split.netloc + split.path), self._s3())
        try:
            system, root = pafs.FileSystem.from_uri(self.uri)
        except (OSError, ValueError) as error:
            raise SettingsError(
                f"{self.uri}: Arrow does not open it ({type(error).__name__}); see docs/storage.md"
            ) from None
        return pafs.SubTreeFileSystem(root, system)

    def _s3(self) -> pafs.FileSystem:
        given = {name.upper().removeprefix("AWS_"): value for name, value in self.options.items()}
        endpoint = urlsplit(given.get("ENDPOINT_URL") or given.get("ENDPOINT") or "")
        keys = {"access_key": "ACCESS_KEY_ID", "secret_key": "SECRET_ACCESS_KEY", "session_token": "SESSION_TOKEN"}
        return pafs.S3FileSystem(
            **{name: given[key] for name, key in keys.items() if key in given},
            region=given.get("REGION") or given.get("DEFAULT_REGION"),
            endpoint_override=endpoint.netloc or None,
            scheme=endpoint.scheme or "https",
            force_virtual_addressing=given.get("VIRTUAL_HOSTED_STYLE_REQUEST", "").lower() == "true",
        )
