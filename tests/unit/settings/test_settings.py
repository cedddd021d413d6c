"""Settings are read once and refused whole, with the file and the key named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from jobs.demo.demo import write_settings
from jobs.demo.demo_settings import demo_settings
from jobs.settings import Settings
from jobs.settings_file import MAX_SETTINGS_BYTES, load, merge
from models.errors import SettingsError

Write = Callable[[str | bytes], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(content: str | bytes) -> Path:
        path = tmp_path / "own.yaml"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


TASK = "tasks: {praise: {scenes: [chat], labels: {got: %s, asks: {}}}}\n"


def test_without_a_file_there_are_defaults() -> None:
    assert load(None) == Settings()


def test_an_empty_file_changes_nothing(write: Write) -> None:
    assert load(write("# nothing yet\n")) == Settings()


def test_a_file_is_laid_over_its_base(write: Write) -> None:
    base = {"lake": {"schema_name": "a", "location": "b"}, "rounds": {"seed": 5}}
    loaded = load(write("lake: {schema_name: c}\nrounds: {rounds: 3}\n"), base)
    assert (loaded.lake.schema_name, loaded.lake.location) == ("c", "b")
    assert (loaded.rounds.seed, loaded.rounds.rounds) == (5, 3)


def test_the_teachers_source_is_called_from(write: Write) -> None:
    loaded = load(write("tasks: {praise: {scenes: [chat], labels: {got: {}}, teacher: {from: hfl/rbt3}}}"))
    assert loaded.task("praise").teacher.source == "hfl/rbt3"


def test_the_engine_is_one_of_those_there_are(write: Write) -> None:
    assert Settings().scoring.engine == "auto"
    assert load(write("scoring: {engine: onnxruntime}")).scoring.engine == "onnxruntime"
    with pytest.raises(SettingsError, match=r"scoring.engine: .*'fused'.*got 'quick'"):
        load(write("scoring: {engine: quick}"))


def test_all_problems_are_told_at_once_with_file_and_key(write: Write) -> None:
    path = write("lake: {schema: x, schema_name: 'A B'}\nrounds: {rounds: none}\nunknown: 1\n")
    with pytest.raises(SettingsError) as caught:
        load(path)
    lines = str(caught.value).splitlines()
    assert lines[0] == f"{path}: 4 problem(s)"
    assert [line.split(":")[0].strip() for line in lines[1:]] == [
        "lake.schema_name", "lake.schema", "rounds.rounds", "unknown",
    ]  # fmt: skip
    assert "(got 'none')" in lines[3]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("rounds: {seed: 1}\nlake: {}\nrounds: {seed: 2}\n", "key given twice: rounds"),
        ("lake: {schema_name: a, location: b, schema_name: c, location: d}", "key given twice: location, schema_name"),
        ("tasks:\n  a:\n   labels: {x: {}, x: {}}\n", "key given twice: x"),
        ("lake: &own {location: a}\nsession: *own\n", "got &own; write the value out where it belongs"),
        ("lake: *own\n", "got *own; write the value out where it belongs"),
        ("a: b: c", "mapping values are not allowed"),
        ("lake: [", "expected"),
        ("{[a]: b}", "no plain text"),
        ("rounds: 2026-02-30", "day is out of range"),
        ("a: !!python/object/apply:os.getcwd []", "could not determine a constructor"),
        ("[" * 1000, "recursion"),
        (b"lake: \xff", "invalid start byte"),
        ("- lake\n", "got a list at the top"),
        ("lake", "got a str at the top"),
        ("1: x", "Keys should be strings"),
        ("cleaning: {rules: [{name: r, pattern: '(', outcome: useless}]}", "cleaning.rules.0.pattern"),
        ("session: {timezone: Mars/Olympus}", "session.timezone"),
        (
            "tasks: {praise: {scenes: [chat], labels: {got: {}}, student: {kind: bilstm, filters: 9}}}",
            "tasks.praise.student.bilstm.filters: Extra inputs are not permitted (got a value of type int)",
        ),
        (
            "tasks: {praise: {scenes: [chat], labels: {got: {}}, student: {scheme: online}}}",
            "tasks.praise.student.textcnn.scheme: kind should be 'offline', ",
        ),
        (TASK % "{requires: [feedback.complaint]}", r"praise.got refers to feedback.complaint"),
        (TASK % "{requires: [asks], excludes: [asks]}", "labels wait for each other"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused_by_name(write: Write, content: str | bytes, told: str) -> None:
    path = write(content)
    with pytest.raises(SettingsError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert told in str(caught.value)
    assert caught.value.exit_code == 2


def test_names_of_the_environment_are_filled_in_wherever_a_text_is(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLACE", "/data")
    file = write("lake: {location: '${PLACE}/warehouse/${PLACE}', bundles: '$PLACE/{PLACE}'}")
    assert load(file).lake.location == "/data/warehouse//data"
    assert load(file).lake.bundles == "$PLACE/{PLACE}"


def test_all_names_that_the_environment_lacks_are_told(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PLACE_A", "PLACE_B"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SettingsError, match="the environment lacks PLACE_A, PLACE_B"):
        load(write("lake: {location: '${PLACE_B}', bundles: '${PLACE_A}'}"))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("lake: {locaton: '${SECRET}'}", "lake.locaton: Extra inputs are not permitted"),
        ("lake: {locaton: ['${SECRET}']}", "(got a value of type list)"),
        ("rounds: {seed: 'x ${SECRET}'}", "rounds.seed: "),
        ("scoring: {engine: '${SECRET}'}", "(got a value from the environment)"),
        ("lake: ['${SECRET}']", "(got a value of type list)"),
        ("session: {timezone: '${SECRET}'}", "session.timezone: "),
        (
            "tasks: {praise: {scenes: ['${SECRET}'], labels: {got: {}}, student: {kind: '${SECRET}'}}}",
            "student: kind should",
        ),
        ("tasks: {praise: {scenes: [chat], labels: {got: {}}, student: {scheme: '${SECRET}'}}}", "scheme: kind should"),
    ],
)
def test_no_message_shows_what_came_from_the_environment(
    write: Write, monkeypatch: pytest.MonkeyPatch, content: str, problem: str
) -> None:
    monkeypatch.setenv("SECRET", "Pa55word")
    with pytest.raises(SettingsError) as caught:
        load(write(content))
    assert problem in str(caught.value)
    assert "Pa55word" not in str(caught.value)


def test_what_a_mistyped_key_holds_is_told_by_its_type(write: Write) -> None:
    with pytest.raises(SettingsError, match=r"lake\.locaton: .*\(got a value of type str\)$") as caught:
        load(write("lake: {locaton: Pa55word}"))
    assert "Pa55word" not in str(caught.value)


def test_a_secret_in_the_sessions_conf_is_refused_and_not_shown(write: Write) -> None:
    with pytest.raises(SettingsError, match=r"session\.conf: .*fs\.s3a\.secret\.key: secrets would be on") as caught:
        load(write("session: {conf: {spark.hadoop.fs.s3a.secret.key: Pa55word, spark.sql.shuffle.partitions: '3'}}"))
    assert "Pa55word" not in str(caught.value)
    switches = {"spark.security.credentials.hive.enabled": "false", "spark.executor.cores": "2"}
    assert Settings.model_validate({"session": {"conf": switches}}).session.conf == switches


def test_the_demos_file_keeps_names_of_the_environment_and_is_its_owners(
    write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SECRET", "Pa55word")
    given = write("lake: {location: 's3://a/${SECRET}', storage_options: {AWS_SECRET_ACCESS_KEY: '${SECRET}'}}")
    loaded = load(given, demo_settings(tmp_path))
    written = write_settings(loaded, tmp_path / "demo", given)
    assert "Pa55word" not in written.read_text("utf-8")
    assert written.stat().st_mode & 0o777 == 0o600
    assert load(written) == loaded


def test_a_bomb_of_aliases_is_refused_before_it_grows(write: Write) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    with pytest.raises(SettingsError, match="anchors and aliases are not read, got &a0"):
        load(write("\n".join(lines)))


def test_a_file_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(SettingsError, match=f"no file at {path}"):
            load(path)


def test_a_file_too_large_to_be_settings_is_not_read(write: Write) -> None:
    with pytest.raises(SettingsError, match=f"at most {MAX_SETTINGS_BYTES} are read"):
        load(write("#" * (MAX_SETTINGS_BYTES + 1)))


def test_an_unknown_task_is_told_the_known_ones() -> None:
    loaded = load(None, {"tasks": {"praise": {"scenes": ["chat"], "labels": {"got": {}}}}})
    with pytest.raises(SettingsError, match="'prise', the settings know praise"):
        loaded.task("prise")
    with pytest.raises(SettingsError, match="the settings know none"):
        Settings().task("praise")


def test_the_digest_names_the_content() -> None:
    one, other = load(None, {"rounds": {"seed": 2}}), load(None, {"rounds": {"seed": 3}})
    assert one.digest == load(None, {"rounds": {"seed": 2.0}}).digest
    assert len({one.digest, other.digest, Settings().digest}) == 3


def test_the_demos_settings_hold(tmp_path: Path) -> None:
    loaded = load(None, demo_settings(tmp_path))
    assert loaded.tasks
    assert loaded.sources
    assert str(tmp_path) in str(loaded.lake.location)


TREES = st.recursive(
    st.integers(0, 3),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, min_size=1, max_size=3),
    max_leaves=8,
)
TREE = st.dictionaries(st.sampled_from("abc"), TREES, max_size=3)


def leaves(tree: Any, place: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    if not isinstance(tree, dict):
        return {place: tree}
    return {at: value for key in tree for at, value in leaves(tree[key], (*place, key)).items()}


@given(TREE, TREE)
@hypothesis_settings(deadline=None)
def test_merging_keeps_what_is_laid_over_and_what_it_does_not_touch(base: dict[str, Any], over: dict[str, Any]) -> None:
    before = repr((base, over))
    merged = merge(base, over)
    assert repr((base, over)) == before
    found, above = leaves(merged), leaves(over)
    assert above.items() <= found.items()
    for place, value in leaves(base).items():
        covered = any(place[: len(at)] == at or at[: len(place)] == place for at in above)
        assert covered or found[place] == value
    assert merge(base, {}) == merge(base, {key: {} for key in base if isinstance(base[key], dict)}) == base
    assert merge({}, over) == over
    assert merge(merged, over) == merged
