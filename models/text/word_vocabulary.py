"""Words and their ids: the encoder of students that read words as jieba finds them, instead of characters.

Words come from jieba's own dictionary alone (no guessing of new ones), so that a text is cut alike on every machine
that has the same version of it. A word that the student does not know is read as its characters.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Self

import numpy as np

from models import digests
from models.errors import BundleError, EnvError
from models.text.vocabulary import (
    FIRST_CHAR,
    SEPARATOR_CHAR,
    UNKNOWN,
    Encoded,
    Texts,
    Vocabulary,
    as_large_string,
    blocks_of,
)


@dataclass(frozen=True)
class WordVocabulary:
    """The words and characters a model knows, most frequent first: `words[i]` has the id i + 2."""

    words: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(set(self.words)) != len(self.words) or not all(self.words):
            raise BundleError("vocabulary: a word is empty or listed twice; build it again")

    def __len__(self) -> int:
        return len(self.words) + FIRST_CHAR

    @classmethod
    def build(cls, texts: Texts | Iterable[Texts], *, max_size: int, min_count: int = 2, pairs: bool = False) -> Self:
        """The most frequent words of some texts, and the characters of all words, which stand in for unknown ones.

        Args:
            texts: Strings, or blocks of them; nulls are skipped.
            max_size: Largest `len()` of the result, the two reserved ids included.
            min_count: What is seen less often is left out.
            pairs: The separator of pairs comes first, whatever its count.
        """
        counts: Counter[str] = Counter()
        for word in (
            word for block in blocks_of(texts) for text in as_large_string(block).to_pylist() for word in cut(text)
        ):
            counts[word] += 1
            if len(word) > 1:
                counts.update(word)
        counts.pop(SEPARATOR_CHAR, None)
        known = [word for word, seen in counts.items() if seen >= max(min_count, 1)]
        known.sort(key=lambda word: (-counts[word], word))
        first = [SEPARATOR_CHAR] if pairs else []
        return cls(tuple([*first, *known][: max(max_size - FIRST_CHAR, 0)]))

    def encode(self, texts: Texts, max_length: int) -> Encoded:
        """Ids of some texts, cut at `max_length` ids; see `Vocabulary.encode`. Python code runs per text."""
        rows = [self._ids(text)[:max_length] for text in as_large_string(texts).to_pylist()]
        offsets = np.zeros(len(rows) + 1, np.int64)
        np.cumsum([len(row) for row in rows], out=offsets[1:])
        return Encoded(np.fromiter((word_id for row in rows for word_id in row), np.int32, int(offsets[-1])), offsets)

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = []
        for word in cut(text):
            known = self._by_word.get(word)
            if known is None:
                ids += [self._by_word.get(char, UNKNOWN) for char in word]
            else:
                ids.append(known)
        return ids

    @cached_property
    def _by_word(self) -> dict[str, int]:
        return {word: at + FIRST_CHAR for at, word in enumerate(self.words)}

    @property
    def digest(self) -> str:
        """SHA-256 of the words in their order, 64 hex digits."""
        return digests.of_bytes(self.to_json())

    def to_json(self) -> bytes:
        """A JSON object that says what its entries are."""
        return json.dumps({"unit": "word", "words": self.words}, ensure_ascii=True, indent=0).encode()


AnyVocabulary = Vocabulary | WordVocabulary


def read_vocabulary(path: Path) -> AnyVocabulary:
    """The vocabulary of a file, of whichever unit; `BundleError` for anything else."""
    data = path.read_bytes()
    try:
        content = json.loads(data)
    except ValueError as error:
        raise BundleError(f"{path}: not JSON, expected a vocabulary; export the model again") from error
    if not isinstance(content, dict):
        return Vocabulary.from_json(data, str(path))
    words = content.get("words")
    if content.get("unit") != "word" or not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise BundleError(f"{path}: expected words in a JSON object of the unit word; export the model again")
    return WordVocabulary(tuple(words))


def cut(text: str) -> list[str]:
    """The words of a text by jieba's dictionary: joined they are the text."""
    words: list[str] = _jieba().lcut(text, HMM=False)
    return words


@lru_cache(maxsize=1)
def _jieba() -> Any:
    """Jieba with its own dictionary, whatever the process has done to the shared one."""
    try:
        import jieba
    except ImportError as error:
        raise EnvError(
            "words: jieba is not installed; install it where students of `student.unit: word` are trained or score, "
            "and where teachers are pretrained by whole words"
        ) from error
    jieba.setLogLevel(logging.WARNING)
    tokenizer = jieba.Tokenizer()
    tokenizer.initialize()
    return tokenizer
