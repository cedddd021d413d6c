"""A model's folder, wherever it lies: read in place, or fetched once a machine into a cache that its digest names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.fs as pafs

from models import digests
from models.errors import BundleError
from models.folders import cache, publish
from udfs.storage import Storage, is_uri


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """Where a model lies, and what the registry says of it.

    Attributes:
        place: Its folder: a path that this machine has, or a URI.
        digests: As registered in `models`; empty where nothing is known.
        options: How an object store is reached (`udfs.storage.Storage`).
    """

    place: str
    digests: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def key(self) -> str:
        """Names place and content."""
        return digests.of_json([self.place, dict(self.digests)], chars=32)

    def local(self) -> Path:
        """The folder on this machine; fetched where it lies in an object store and was not fetched before.

        Raises:
            BundleError: There is nothing at the URI.
        """
        if not is_uri(self.place):
            return Path(self.place)
        folder = cache() / "models" / self.key
        return folder if folder.is_dir() else fetch(Storage(self.place, self.options), folder)


def fetch(storage: Storage, folder: Path) -> Path:
    """Copy a folder of an object store to this machine; it appears whole, also where several workers fetch it at once.

    Raises:
        BundleError: There is nothing.
    """
    source = storage.open()
    files = stored_files(source)
    if not files:
        raise BundleError(f"{storage.uri}: no such folder, expected a model; check lake.bundles, or train it again")

    def write(staging: Path) -> None:
        for path in files:
            (staging / path).parent.mkdir(parents=True, exist_ok=True)
            with source.open_input_stream(path) as stream, (staging / path).open("wb") as target:
                while block := stream.read(4 << 20):
                    target.write(block)

    return publish(folder, write)


def upload(folder: Path, storage: Storage) -> str:
    """Copy a folder of this machine to an object store; its URI."""
    target = storage.open()
    for path in sorted(item for item in folder.rglob("*") if item.is_file()):
        with path.open("rb") as source, target.open_output_stream(str(path.relative_to(folder))) as stream:
            while block := source.read(4 << 20):
                stream.write(block)
    return storage.uri


def stored_files(system: pafs.FileSystem) -> list[str]:
    """The paths of all files of a file system; none where its folder is not there."""
    selector = pafs.FileSelector("", allow_not_found=True, recursive=True)
    return [info.path for info in system.get_file_info(selector) if info.type == pafs.FileType.File]
