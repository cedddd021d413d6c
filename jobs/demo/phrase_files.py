"""Reads the phrases that texts are made of: the YAML files of `phrases/`, checked before a word is drawn.

Nothing is read at import. A file that does not hold what it should is a `SettingsError` that names the file and
the place in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError

from jobs.demo.clusters import Family, by_name
from models import digests
from models.errors import SettingsError
from models.settings_base import Frozen

PHRASES = files("jobs.demo") / "phrases"  # works in a folder, a wheel and a zip
# Every scalar is text to it (`6`, `no`, `1:30` too), and no tag makes an object; libyaml's where there is one.
_LOADER = yaml.CBaseLoader if yaml.__with_libyaml__ else yaml.BaseLoader
T = TypeVar("T")


def _words(value: Any) -> Any:
    return tuple(value.split()) if isinstance(value, str) else value


Words = Annotated[tuple[str, ...], BeforeValidator(_words), Field(min_length=1)]
"""A list, or a text of words with spaces between them."""


class ConfusionGroups(Frozen):
    """Groups of characters that are taken for each other: by their sound, and by their looks."""

    homophones: Words
    glyphs: Words


FAMILIES: TypeAdapter[dict[str, Family]] = TypeAdapter(
    Annotated[dict[str, Family], BeforeValidator(by_name), Field(min_length=1)]
)
SLOTS: TypeAdapter[dict[str, tuple[str, ...]]] = TypeAdapter(dict[str, Words])
CONFUSIONS: TypeAdapter[ConfusionGroups] = TypeAdapter(ConfusionGroups)


@cache
def read_families(name: str) -> tuple[Family, ...]:
    """The families of one file of phrases, in its order."""
    return tuple(_read(name, FAMILIES).values())


@cache
def read_slots() -> Mapping[str, tuple[str, ...]]:
    """What the places of templates draw from."""
    return _read("slots", SLOTS)


@cache
def read_confusions() -> ConfusionGroups:
    """The groups of characters that noise draws from."""
    return _read("confusions", CONFUSIONS)


def digest() -> str:
    """SHA-256 of all the files, 64 hex digits: other phrases make another corpus from the same settings."""
    return digests.of_json(
        {file.name: digests.of_bytes(file.read_bytes()) for file in PHRASES.iterdir() if file.name.endswith(".yaml")}
    )


def _read(name: str, content: TypeAdapter[T]) -> T:
    return parse((PHRASES / f"{name}.yaml").read_text("utf-8"), f"jobs/demo/phrases/{name}.yaml", content)


def parse(text: str, file: str, content: TypeAdapter[T]) -> T:
    """The checked content of a YAML text; `file` is the name that messages give it.

    Raises:
        SettingsError: It is no YAML, gives a key twice, or does not hold what it should: every problem named.
    """
    try:
        node = yaml.compose(text, Loader=_LOADER)
        return content.validate_python(None if node is None else _plain(node, file))
    except yaml.YAMLError as error:
        raise SettingsError(f"{file}: not readable as YAML, mend it: {error}") from None
    except ValidationError as error:
        problems = error.errors(include_url=False)
        lines = [f"{file}: {len(problems)} problem(s); expected what docs/corpus.md says under Adding phrases"]
        for problem in problems:
            place = ".".join(str(part) for part in problem["loc"]) or "(top)"
            given = f" (got {problem['input']!r})" if isinstance(problem["input"], str) else ""
            lines.append(f"  {place}: {problem['msg'].removeprefix('Value error, ')}{given}")
        raise SettingsError("\n".join(lines)) from None


def _plain(node: yaml.Node, file: str) -> Any:
    """A node as text, list or mapping; YAML itself lets the last of two equal keys win, silently."""
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, file) for item in node.value]
    if not isinstance(node, yaml.MappingNode):
        return node.value
    mapping: dict[str, Any] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise SettingsError(f"{file}:{line}: a key is no plain text; quote it")
        if key.value in mapping:
            raise SettingsError(f"{file}:{line}: key given twice: {key.value}; keep one")
        mapping[key.value] = _plain(value, file)
    return mapping
