"""The folder of models (teachers, students, encoders): on a disk that every machine has, or in an object store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from models import digests
from models.folders import cache
from udfs.model_files import ModelFiles, fetch, stored_files, upload
from udfs.storage import Storage, is_uri, without_file_scheme


class ModelStore:
    """Where models are made and found.

    Attributes:
        place: As the settings have it, absolute.
        folder: Where this machine makes models: the place itself, or, of an object store, a folder of the cache.
    """

    def __init__(self, place: str, storage_options: Callable[[], Mapping[str, str]]) -> None:
        self._options = storage_options
        place = without_file_scheme(place)
        self._remote = is_uri(place)
        self.place = place.rstrip("/") if self._remote else str(Path(place).resolve())
        self.folder = cache() / "made" / digests.of_json(self.place, chars=12) if self._remote else Path(self.place)

    def files(self, place: str, registered: Mapping[str, str]) -> ModelFiles:
        """A registered model's files, for whoever opens it, here or on an executor."""
        return ModelFiles(place, registered, self._options() if is_uri(place) else {})

    def published(self, folder: Path) -> str:
        """Where everyone finds a model that was made in `folder` (below `self.folder`)."""
        if not self._remote:
            return str(folder)
        return upload(folder, self._storage(folder.relative_to(self.folder).as_posix()))

    def found(self, name: str) -> Path | None:
        """A folder below the place, on this machine; None where there is none."""
        folder = self.folder / name
        if not folder.is_dir() and self._remote and stored_files(self._storage(name).open()):
            fetch(self._storage(name), folder)
        return folder if folder.is_dir() else None

    def shared(self, name: str) -> bool:
        """Whether everyone finds every file that a folder has here: a run that was killed may have left some out."""
        folder = self.folder / name
        if not self._remote:
            return folder.is_dir()
        here = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        return here <= set(stored_files(self._storage(name).open()))

    def _storage(self, name: str) -> Storage:
        return Storage(f"{self.place}/{name}", self._options())
