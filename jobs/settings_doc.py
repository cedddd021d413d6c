"""What can be set, for readers and editors: docs/settings.md and a JSON Schema, made from the models' descriptions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any, TypeAlias

from jobs.settings import Settings

TEMPLATE = "settings_page.md"  # beside this module
_Schema: TypeAlias = Mapping[str, Any]
_PLACE = re.compile(r"\{\{ ([\w, ]+) \}\}")
_HEAD = "| key | values | default | meaning |\n|---|---|---|---|\n"
_BOUNDS = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a settings file."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | Settings.model_json_schema(by_alias=True)


def page() -> str:
    """docs/settings.md: the prose of `settings_page.md`, its `{{ Model }}` replaced by the model's fields.

    Of several models, which are told apart by their `kind`, the fields that all have come first.

    Raises:
        KeyError: The prose names a model that the settings do not have.
    """
    models = json_schema()["$defs"]
    return _PLACE.sub(lambda place: _section([models[name] for name in place[1].split(", ")]), _template())


def models_on_the_page() -> list[str]:
    """The models whose fields the page lists, in its order."""
    return [name for place in _PLACE.findall(_template()) for name in place.split(", ")]


def _template() -> str:
    return (files("jobs") / TEMPLATE).read_text("utf-8")


def _section(models: Sequence[_Schema]) -> str:
    if len(models) == 1:
        return f"{models[0]['description']}\n\n{_table(models[0], models[0]['properties'])}"
    fields = [model["properties"] for model in models]
    common = {key: field for key, field in fields[0].items() if all(other.get(key) == field for other in fields)}
    kinds = [kind for each in fields for kind in _kinds(each["kind"])]
    kind = {"enum": kinds, "default": kinds[0], "description": fields[0]["kind"]["description"]}
    parts = [_table(models[0], {"kind": kind} | common)]
    for model, each in zip(models, fields, strict=True):
        own = {key: field for key, field in each.items() if key not in {"kind", *common}}
        names = ", ".join(f"`{name}`" for name in _kinds(each["kind"]))
        parts.append(f"{names}: {model['description']}" + (f"\n\n{_table(model, own)}" if own else ""))
    return "\n\n".join(parts)


def _kinds(field: _Schema) -> list[str]:
    kinds: list[str] = field["enum"] if "enum" in field else [field["const"]]
    return kinds


def _table(model: _Schema, fields: Mapping[str, _Schema]) -> str:
    required = model.get("required", [])
    return _HEAD + "\n".join(_row(key, field, key in required) for key, field in fields.items())


def _row(key: str, field: _Schema, required: bool) -> str:
    default = "required" if required and "default" not in field else _default(field)
    return f"| `{key}` | {_values(field)} | {default} | {_one_line(field['description'])} |"


def _default(field: _Schema) -> str:
    """The default as YAML has it; of a nested model, and of nothing, a dash."""
    value = field.get("default")
    if isinstance(value, dict) or ("default" not in field) or value == []:
        return "–"
    if isinstance(value, list):
        return f"`[{', '.join(map(str, value))}]`"
    return "`null`" if value is None else f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _values(field: _Schema) -> str:
    """What a field may hold, in words."""
    if "anyOf" in field:
        return " or ".join(_values(choice) for choice in field["anyOf"])
    if "$ref" in field or "oneOf" in field:
        return "keys, see below"
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    kind: str = field.get("type", "anything")
    if "prefixItems" in field:
        return f"list of {len(field['prefixItems'])}: {_values(field['prefixItems'][0])}"
    if kind == "array":
        return f"list: {_values(field.get('items', {}))}"
    if kind == "object":
        return f"{_keys(field)} → {_values(_inner(field))}"
    if kind in ("integer", "number"):
        bounds = [f"{words} {field[bound]:g}" for bound, words in _BOUNDS.items() if bound in field]
        return " ".join(["whole number" if kind == "integer" else "number", " and ".join(bounds)]).rstrip()
    return _NAMES.get(kind, kind) if "pattern" not in field else "name"


def _keys(mapping: _Schema) -> str:
    """What the keys of a mapping may be."""
    if "patternProperties" in mapping:
        return "name"
    return _values(mapping.get("propertyNames", {"type": "string"}))


def _inner(mapping: _Schema) -> _Schema:
    """The schema of a mapping's values."""
    patterns: _Schema = mapping.get("patternProperties", {})
    inner: _Schema = next(iter(patterns.values()), mapping.get("additionalProperties", {}))
    return inner


_NAMES = {"string": "text", "boolean": "`true`, `false`", "null": "`null`"}


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
