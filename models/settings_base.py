"""What all settings are made of: a frozen model, the types of names and shares, and unions told apart by `kind`.

A union by `kind` has one model for each kind, so that a key of another kind is refused by name.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Identifier = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
"""A name that SQL and files take as it is."""
NO_SIGNS = "/\\*@"
"""What a name must not have: it stands in names of models (`task/kind/…`), of their thresholds (`MODEL@VERSION`), and
beside `*` for every scene."""


def _plain_name(name: str) -> str:
    """A name in NFC.

    Raises:
        ValueError: It is not what a reader would take for one name.
    """
    plain = unicodedata.normalize("NFC", name)
    if not 1 <= len(plain) <= 64 or plain != plain.strip() or plain.startswith("."):
        raise ValueError("a name has 1 to 64 characters, begins with no dot, and neither begins nor ends with a space")
    if signs := [sign for sign in plain if sign in NO_SIGNS or not sign.isprintable()]:
        raise ValueError(
            f"a name may be of any script, but without {' '.join(NO_SIGNS)} and control signs: {signs[0]!r}"
        )
    return plain


Name = Annotated[str, AfterValidator(_plain_name)]
"""Of a task, a label, a scene or a source, as people write it, in any script."""
LabelRef = Annotated[str, Field(min_length=1, max_length=129)]
"""`label`, or `task.label` of another task."""


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
