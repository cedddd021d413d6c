"""Settings from a YAML file: keys once, no aliases, `${NAME}` from the environment, laid over the defaults.

A message names the file and the key. It never holds what came from the environment: that may be a password.
"""

from __future__ import annotations

import os
import re
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from jobs.settings import Settings
from models.errors import SettingsError

MAX_SETTINGS_BYTES = 1 << 20
_VARIABLE = re.compile(r"\$\{([A-Z][A-Z0-9_]*)\}")


class _FromEnvironment(str):
    """A text with something from the environment in it, which no message may show."""

    __slots__ = ()


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader without repeated keys, which it lets win silently, and without aliases.

    A few lines of aliases of aliases make a tree that no memory holds.
    """

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """The next node; `ComposerError` at an anchor or an alias."""
        event = self.peek_event()  # type: ignore[no-untyped-call]
        name = getattr(event, "anchor", None)
        if name is not None:
            sign = "*" if isinstance(event, yaml.AliasEvent) else "&"
            problem = f"anchors and aliases are not read, got {sign}{name}; write the value out where it belongs"
            raise yaml.composer.ComposerError(None, None, problem, event.start_mark)
        node: yaml.Node | None = super().compose_node(parent, index)
        return node


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(key, deep=True) for key, _ in node.value]
    if not all(isinstance(key, Hashable) for key in keys):
        raise yaml.constructor.ConstructorError(None, None, "a key is no plain text", node.start_mark)
    repeated = sorted({str(key) for key in keys if keys.count(key) > 1})
    if repeated:
        problem = f"key given twice: {', '.join(repeated)}; keep one"
        raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
    return dict(zip(keys, (loader.construct_object(v, deep=True) for _, v in node.value), strict=True))


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def load(file: Path | None, base: Mapping[str, Any] | None = None) -> Settings:
    """The settings of a file laid over `base` (or over the defaults), all problems in one `SettingsError`."""
    given: dict[str, Any] = dict(base or {})
    if file is not None:
        given = merge(given, read_yaml(file))
    try:
        return Settings.model_validate(given)
    except ValidationError as error:
        raise SettingsError(_explain(error, file)) from None


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid over `base`, mapping by mapping; anything else is replaced whole."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        both = isinstance(below, Mapping) and isinstance(value, Mapping)
        merged[key] = merge(below, value) if both else value  # type: ignore[arg-type]
    return merged


def read_yaml(file: Path, *, fill: bool = True) -> dict[str, Any]:
    """A YAML file's mapping, `${NAME}` filled from the environment or left as it is; else a `SettingsError`."""
    if not file.is_file():
        raise SettingsError(f"no file at {file}; give the path of a YAML file")
    if file.stat().st_size > MAX_SETTINGS_BYTES:
        raise SettingsError(f"{file}: {file.stat().st_size} bytes, at most {MAX_SETTINGS_BYTES} are read")
    try:
        value = yaml.load(file.read_text("utf-8"), Loader=_Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date that is none, bytes not UTF-8
        raise SettingsError(f"{file}: not readable as YAML, mend it: {error}") from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise SettingsError(f"{file}: got a {type(value).__name__} at the top, expected keys such as tasks:")
    if not fill:
        return value
    missing: set[str] = set()
    filled: dict[str, Any] = _filled(value, missing)
    if missing:
        raise SettingsError(f"{file}: the environment lacks {', '.join(sorted(missing))}, which it names; set them")
    return filled


def _filled(value: Any, missing: set[str]) -> Any:
    """`${NAME}` in any text replaced from the environment; names that are not there are noted."""
    if isinstance(value, dict):
        return {key: _filled(inner, missing) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, missing) for inner in value]
    if not isinstance(value, str) or not _VARIABLE.search(value):
        return value
    missing |= {name for name in _VARIABLE.findall(value) if name not in os.environ}
    return _FromEnvironment(_VARIABLE.sub(lambda match: os.environ.get(match[1], ""), value))


def _explain(error: ValidationError, file: Path | None) -> str:
    problems = error.errors(include_url=False)
    lines = [f"{file or 'settings'}: {len(problems)} problem(s)"]
    for problem in problems:
        place = ".".join(str(part) for part in problem["loc"]) or "(top)"
        lines.append(f"  {place}: {_message(problem)}")
    return "\n".join(lines)


def _message(problem: ErrorDetails) -> str:
    if problem["type"] == "union_tag_invalid":  # whose own message shows what it got
        return f"kind should be {problem['ctx']['expected_tags']}{_shown(problem['input']['kind'], problem['type'])}"
    return problem["msg"] + _shown(problem["input"], problem["type"])


def _shown(value: Any, problem: str) -> str:
    """The value that was refused, where it may be shown: the type of what an unknown key has, or a tree."""
    if isinstance(value, Mapping):
        return ""
    if isinstance(value, _FromEnvironment):
        return " (got a value from the environment)"
    if problem == "extra_forbidden" or not isinstance(value, str | int | float | None):
        return f" (got a value of type {type(value).__name__})"
    return f" (got {value!r})"
