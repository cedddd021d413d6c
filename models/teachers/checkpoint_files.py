"""What a folder must hold to be read as a Hugging Face model: looked at before anything is loaded."""

from __future__ import annotations

import json
from pathlib import Path

from models.errors import BundleError, SettingsError

_WEIGHTS, _INDEX, _CONFIG = "model.safetensors", "model.safetensors.index.json", "config.json"
_POINTER = b"version https://git-lfs"
_LARGEST_HEADER = 100_000_000  # what safetensors itself reads at most

SAVE_IT = "open the model in Transformers and save it with save_pretrained, tokenizer too, and name that folder"
Kind = type[SettingsError | BundleError]


def expect_checkpoint(folder: Path, kind: Kind, remedy: str) -> None:
    """Raise an error of this kind, with what to do, unless the folder holds config.json and whole safetensors weights.

    Weights in several files are named by their index. Pickled weights (`.bin`) are never read: opening them runs code.
    """
    if not folder.is_dir():
        raise kind(f"{folder}: no such folder, expected a Hugging Face model; {remedy}")
    for file in sorted(path for path in folder.iterdir() if path.is_file()):
        if _starts_as_pointer(file):
            raise kind(
                f"{file}: got a Git LFS pointer of {file.stat().st_size} bytes, expected the file that it stands for; "
                "fetch it with `git lfs pull` in the repository, or download it from where the model is published"
            )
    for file in _weight_files(folder, kind, remedy):
        problem = f"is not there, though {_INDEX} names it" if not file.is_file() else _problem_of(file)
        if problem:
            raise kind(f"{file}: {problem}, expected a whole safetensors file; copy it again")
    if not (folder / _CONFIG).is_file():
        raise kind(f"{folder}: holds no {_CONFIG}, expected a Hugging Face model; {remedy}")


def expect_base(folder: Path) -> None:
    """Raise `SettingsError` unless the folder of a base holds what `expect_checkpoint` asks for."""
    expect_checkpoint(folder, SettingsError, SAVE_IT)


def _weight_files(folder: Path, kind: Kind, remedy: str) -> list[Path]:
    """The files whose weights are read."""
    if (folder / _WEIGHTS).is_file():
        return [folder / _WEIGHTS]
    if (folder / _INDEX).is_file():
        try:
            names = sorted(set(json.loads((folder / _INDEX).read_bytes())["weight_map"].values()))
            return [folder / str(name) for name in names]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise kind(f"{folder / _INDEX}: is no index of weights, expected JSON with weight_map; {remedy}") from error
    others = sorted(path.name for path in folder.iterdir() if path.suffix in (".bin", ".pt", ".ckpt", ".safetensors"))
    found = f"holds {', '.join(others)} but no" if others else "holds no"
    raise kind(f"{folder}: {found} {_WEIGHTS}, and only safetensors weights of that name are read; {remedy}")


def _starts_as_pointer(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.read(len(_POINTER)) == _POINTER


def _problem_of(file: Path) -> str | None:
    """What is wrong with a safetensors file, by its header and its length; None if nothing is."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 8 or length > min(size - 8, _LARGEST_HEADER):
            return f"is no safetensors file, or cut short ({size} bytes)"
        try:
            header = json.loads(stream.read(length))
            ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
            whole = 8 + length + max(ends, default=0)
        except (ValueError, KeyError, IndexError, TypeError, AttributeError):
            return f"is no safetensors file ({size} bytes, and its header cannot be read)"
    return None if size == whole else f"has {size} bytes, and its header says {whole}"
