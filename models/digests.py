"""Digests that name things: settings, files, texts. All are SHA-256, shortened where a name is wanted."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

TEXT_HASH_CHARS = 32  # 128 bits: no collision to be expected among 10^15 texts


def of_bytes(data: bytes | memoryview) -> str:
    """The whole digest of some bytes, 64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def of_json(value: Any, *, chars: int = 64) -> str:
    """The digest of a JSON-like value, the same whatever the order of its keys.

    Args:
        value: What `json.dumps` can write; anything else is written as its `str`.
        chars: How many hex digits to keep.
    """
    canonical = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    return of_bytes(canonical.encode())[:chars]


def of_file(path: Path) -> str:
    """The whole digest of a file, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def of_weights(state: Mapping[str, Any]) -> dict[str, str]:
    """The whole digest of each of a network's tensors, by its name in the state dict."""
    return {name: of_bytes(tensor.detach().cpu().contiguous().numpy().tobytes()) for name, tensor in state.items()}


def of_text(text: str, text_b: str | None = None) -> str:
    """The `text_hash` of a clean text, or of a pair.

    A pair is hashed with a NUL (which no clean text has) and the first text's length in front, so that ("ab", "c"),
    ("a", "bc") and any single text differ. For a single
    text the same digits come from SQL: `left(sha2(text, 256), 32)`.
    """
    if text_b is None:
        return of_bytes(text.encode("utf-8", "surrogatepass"))[:TEXT_HASH_CHARS]
    return of_bytes(f"\0{len(text)}:{text}{text_b}".encode("utf-8", "surrogatepass"))[:TEXT_HASH_CHARS]


def of_source(source: str, source_id: str) -> str:
    """The `text_id` of a text: a hash of its source and of what the source calls it, the source's length in front."""
    return of_bytes(f"{len(source)}:{source}{source_id}".encode("utf-8", "surrogatepass"))[:TEXT_HASH_CHARS]
