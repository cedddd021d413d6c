"""What can be set is described once, in the models: the page and the schema are made from them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from jobs.cli import app
from jobs.demo.corpus_settings import CorpusSettings
from jobs.settings import Settings
from jobs.settings_doc import json_schema, models_on_the_page, page

PAGE = Path(__file__).parents[3] / "docs" / "settings.md"


def run(*arguments: str) -> str:
    ended = CliRunner().invoke(app, ["settings", *arguments])
    assert ended.exit_code == 0, ended.output
    return ended.output


def fields(schema: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """All fields of a schema's models, by model and name."""
    models = schema["$defs"] | {"": {"properties": schema["properties"]}}
    return {f"{model}.{name}": field for model, held in models.items() for name, field in held["properties"].items()}


def test_the_page_is_what_the_descriptions_make() -> None:
    assert PAGE.read_text("utf-8") == page(), "run `make golden` and read the difference"


def test_every_model_of_the_settings_is_on_the_page_once() -> None:
    assert sorted(models_on_the_page()) == sorted(json_schema()["$defs"])


def test_every_field_has_a_description() -> None:
    for schema in (Settings.model_json_schema(), CorpusSettings.model_json_schema()):
        undescribed = [name for name, field in fields(schema).items() if not field.get("description")]
        assert undescribed == []


def test_the_command_prints_page_and_schema() -> None:
    assert run("--doc") == page() + "\n"
    schema = json.loads(run("--schema"))
    assert schema == json_schema()
    assert schema["additionalProperties"] is False
    assert schema["$defs"]["TeacherSettings"]["properties"]["from"]["description"].startswith(
        "A folder, or a name on the hub"
    )


def test_the_command_prints_one_of_them() -> None:
    for arguments in ((), ("--schema", "--doc")):
        ended = CliRunner().invoke(app, ["settings", *arguments])
        assert "expected one of --schema and --doc" in str(ended.exception)
