"""What can be set, for readers and editors: docs/settings.md and a JSON Schema, made from the models' descriptions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from jobs.settings import Settings

TEMPLATE = "settings_page.md"  # beside this module
_PLACE = re.compile(r"\{\{ (\w+) \}\}")
_HEAD = "| key | values | default | meaning |\n|---|---|---|---|\n"
_BOUNDS = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a settings file."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | Settings.model_json_schema(by_alias=True)


def page() -> str:
    """docs/settings.md: the prose of `settings_page.md`, its `{{ Model }}` replaced by the model's fields.

    Raises:
        KeyError: The prose names a model that the settings do not have.
    """
    models = json_schema()["$defs"]
    return _PLACE.sub(lambda place: _section(models[place[1]]), _template())


def models_on_the_page() -> list[str]:
    """The models whose fields the page lists, in its order."""
    return _PLACE.findall(_template())


def _template() -> str:
    return (files("jobs") / TEMPLATE).read_text("utf-8")


def _section(model: Mapping[str, Any]) -> str:
    required = model.get("required", [])
    rows = [_row(key, field, required=key in required) for key, field in model["properties"].items()]
    return f"{model.get('description', '').strip()}\n\n{_HEAD}" + "\n".join(rows)


def _row(key: str, field: Mapping[str, Any], *, required: bool) -> str:
    default = "required" if required else _default(field)
    return f"| `{key}` | {_values(field)} | {default} | {_one_line(field.get('description', ''))} |"


def _default(field: Mapping[str, Any]) -> str:
    """The default as YAML has it; of a nested model, and of nothing, a dash."""
    value = field.get("default")
    if isinstance(value, dict) or ("default" not in field) or value == []:
        return "–"
    if isinstance(value, list):
        return f"`[{', '.join(map(str, value))}]`"
    return "`null`" if value is None else f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _values(field: Mapping[str, Any]) -> str:
    """What a field may hold, in words."""
    if "anyOf" in field:
        return " or ".join(_values(choice) for choice in field["anyOf"])
    if "$ref" in field:
        return "keys, see below"
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    kind = field.get("type", "anything")
    if kind == "array":
        return f"list: {_values(field.get('items', {}))}"
    if kind == "object":
        return f"{_keys(field)} → {_values(_inner(field))}"
    if kind in ("integer", "number"):
        bounds = [f"{words} {field[bound]:g}" for bound, words in _BOUNDS.items() if bound in field]
        return " ".join(["whole number" if kind == "integer" else "number", " and ".join(bounds)]).rstrip()
    return _NAMES.get(kind, kind) if "pattern" not in field else "name"


def _keys(mapping: Mapping[str, Any]) -> str:
    """What the keys of a mapping may be."""
    if "patternProperties" in mapping:
        return "name"
    return _values(mapping.get("propertyNames", {"type": "string"}))


def _inner(mapping: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema of a mapping's values."""
    patterns: Mapping[str, Any] = mapping.get("patternProperties", {})
    inner: Mapping[str, Any] = next(iter(patterns.values()), mapping.get("additionalProperties", {}))
    return inner


_NAMES = {"string": "text", "boolean": "`true`, `false`", "null": "`null`"}


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
