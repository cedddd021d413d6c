"""What all settings are made of: a frozen model, the types of names and shares, and unions told apart by `kind`.

A union by `kind` has one model for each kind, so that a key of another kind is refused by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
LabelRef = Annotated[str, Field(pattern=r"^([a-z][a-z0-9_]{0,63}\.)?[a-z][a-z0-9_]{0,63}$")]


def _from_home(place: str) -> str:
    if place != "~" and not place.startswith("~/"):
        return place
    try:
        return str(Path(place).expanduser())
    except RuntimeError:
        raise ValueError("~ is the home folder, and this user has none; write the path out") from None


Place = Annotated[str, AfterValidator(_from_home)]
"""A path, in which `~` is the home folder, or a URI."""
Share = Annotated[float, Field(ge=0, le=1)]


class Frozen(BaseModel):
    """Base of all settings: read once, never changed, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


KIND_REQUIRED = ConfigDict(json_schema_extra={"required": ["kind"]})
"""Of every model of a union but the one that a missing `kind` stands for."""


def kind_or(default: str) -> Callable[[Any], Any]:
    """A validator that makes a plain name the mapping of that `kind`, and adds the default to one without a `kind`."""

    def complete(value: Any) -> Any:
        if isinstance(value, str):
            return {"kind": value}
        return {"kind": default, **value} if isinstance(value, Mapping) else value

    return complete


def or_plain_name(schema: dict[str, Any]) -> None:
    """Let the JSON Schema of a union by `kind` take a plain name too."""
    union = {key: schema.pop(key) for key in ("oneOf", "discriminator")}
    schema["anyOf"] = [{"enum": list(union["discriminator"]["mapping"])}, union]


def as_kind(settings: Frozen, union: Any, kind: str) -> dict[str, Any]:
    """The keys of another kind of the union, with the values of those that both kinds have; of no kind none."""
    models: tuple[type[Frozen], ...] = get_args(get_args(union)[0])
    model = next((model for model in models if kind in get_args(model.model_fields["kind"].annotation)), Frozen)
    return {"kind": kind, **settings.model_dump(include=set(model.model_fields), exclude={"kind"})}
