"""The files of phrases: every one is read and serves, and a broken one is refused by name and place."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from importlib.resources import files
from pathlib import Path
from random import Random

import pytest

from jobs.demo import composing, phrase_files
from jobs.demo.clusters import CHAT, SCENES, TASK_LABELS, TASK_SCENES
from jobs.demo.composing import EVERYDAY, LABELLED, UNLABELLED, all_clusters, all_families
from jobs.demo.corpus_plan import SEASON_TOPIC, WEEKDAY_TOPIC
from jobs.demo.grammar import Grammar, expand
from jobs.demo.phrase_files import CONFUSIONS, FAMILIES, SLOTS, parse, read_confusions, read_families, read_slots
from models.errors import SettingsError

ROOT = Path(__file__).parents[3]
WHOLE = """
asks_praise:
  rates: {live_chat: 0.02}
  clusters:
    ask_directly:
      labels: [asks_praise]
      templates: ['表扬我{tail}', '6']
"""


def test_every_file_of_phrases_is_read() -> None:
    folder = files("jobs.demo") / "phrases"
    names = {entry.name for entry in folder.iterdir() if entry.name != "__pycache__"}
    assert names == {f"{name}.yaml" for name in (*LABELLED, *UNLABELLED, *EVERYDAY, "slots", "confusions")}
    assert all(read_families(name) for name in (*LABELLED, *UNLABELLED, *EVERYDAY))
    assert read_slots()
    assert read_confusions()


@pytest.mark.parametrize("name", LABELLED)
def test_labelled_families_have_labels_of_their_scenes(name: str) -> None:
    scenes = {label: set(TASK_SCENES[task]) for task, labels in TASK_LABELS.items() for label in labels}
    for family in read_families(name):
        for cluster in family.clusters.values():
            assert cluster.labels, cluster.name
            # Photos are no scene of `praise`; a cluster's scene counts only where its family has a rate.
            assert all(set(cluster.scenes) & family.rates.keys() <= scenes[label] for label in cluster.labels)


@pytest.mark.parametrize("name", [*UNLABELLED, *EVERYDAY])
def test_other_families_have_none(name: str) -> None:
    assert not [c.name for family in read_families(name) for c in family.clusters.values() if c.labels]


def test_every_cluster_can_occur() -> None:
    for family in all_families():
        for name, cluster in family.clusters.items():
            assert any(family.rates.get(scene) for scene in cluster.scenes), name


def test_every_topic_is_one_that_the_calendar_knows() -> None:
    known = {"", *WEEKDAY_TOPIC, *(topic for topics in SEASON_TOPIC.values() for topic in topics)}
    assert {family.topic for family in all_families()} <= known


def test_every_slot_is_used_and_can_be_drawn() -> None:
    grammar, draw = Grammar(read_slots()), Random(0).random
    texts = [template for cluster in all_clusters() for template in cluster.templates]
    texts += [alternative for alternatives in read_slots().values() for alternative in alternatives]
    for name in read_slots():
        assert any("{" + name + "}" in text for text in texts), name
        assert expand(grammar.choice([f"a{{{name}}}"]), draw).startswith("a")


def test_a_scalar_is_text_whatever_yaml_makes_of_it() -> None:
    text = WHOLE.replace("['表扬我{tail}', '6']", "[6, no, 1:30, ~, 0x1F]").replace("ask_directly", "no")
    (family,) = parse(text, "f.yaml", FAMILIES).values()
    (cluster,) = family.clusters.values()
    assert (cluster.name, cluster.templates) == ("no", ("6", "no", "1:30", "~", "0x1F"))
    assert cluster.scenes == SCENES
    assert family.rates == {CHAT: 0.02}


def test_a_list_of_words_is_a_text_or_a_list() -> None:
    assert parse("a: x y\nb: ['', 'x y']\nc: >-\n  x\n  y", "f.yaml", SLOTS) == {
        "a": ("x", "y"), "b": ("", "x y"), "c": ("x", "y"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("whole", "broken", "message"),
    [
        ("labels: [asks_praise]", "labels: [asks_prase]",
         r"asks_praise\.clusters\.ask_directly\.labels\.0: expected one of asks_praise, .* \(got 'asks_prase'\)"),
        ("live_chat: 0.02", "chat: 0.02", r"asks_praise\.rates\.chat.*: expected one of live_chat, .* \(got 'chat'\)"),
        ("0.02", "often", r"asks_praise\.rates\.live_chat: .*valid number.*got 'often'"),
        ("0.02", "-1", r"asks_praise\.rates\.live_chat: .*greater than or equal to 0"),
        ("labels:", "lables:", r"ask_directly\.lables: Extra inputs are not permitted"),
        ("['表扬我{tail}', '6']", "[]", r"ask_directly\.templates: .*at least 1 item"),
        ("'6'", "''", r"ask_directly\.templates\.1: .*at least 1 character"),
        ("['表扬我{tail}', '6']", "表扬我", r"ask_directly\.templates: .*valid tuple"),
        ("labels: [asks_praise]", "held_out: perhaps", r"ask_directly\.held_out: .*boolean"),
        ("labels: [asks_praise]", "templates: ['x']", r":7: key given twice: templates; keep one"),
        ("rates: {live_chat: 0.02}", "topic: chat", r"asks_praise\.rates: Field required"),
        ("['表扬我{tail}', '6']", "[{tail}", r"not readable as YAML, mend it: .*line"),
        (WHOLE, "", r"\(top\): .*valid dict"),
        (WHOLE, "asks_praise: none", r"asks_praise: .*instance of Family"),
        (WHOLE, "[a]: b", r":1: a key is no plain text"),
    ],
)  # fmt: skip
def test_a_broken_file_is_refused_by_name_and_place(whole: str, broken: str, message: str) -> None:
    parse(WHOLE, "f.yaml", FAMILIES)
    assert whole in WHOLE
    with pytest.raises(SettingsError, match=rf"(?s)^f\.yaml.*{message}"):
        parse(WHOLE.replace(whole, broken), "f.yaml", FAMILIES)


def test_every_problem_of_a_file_is_named_at_once() -> None:
    with pytest.raises(SettingsError, match=r"2 problem\(s\)(?s:.)*homophones(?s:.)*glyphs"):
        parse("homophones: ''", "f.yaml", CONFUSIONS)


def test_a_malformed_template_is_refused_by_its_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = parse(WHOLE.replace("{tail}", "{tial}"), "f.yaml", FAMILIES)["asks_praise"].clusters["ask_directly"]
    monkeypatch.setattr(composing, "all_clusters", lambda: (broken,))
    with pytest.raises(SettingsError, match="cluster ask_directly: no slot named 'tial'"):
        composing.grammars.__wrapped__()


def test_two_clusters_of_one_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    family = parse(WHOLE, "f.yaml", FAMILIES)["asks_praise"]
    monkeypatch.setattr(composing, "all_families", lambda: (family, family))
    with pytest.raises(SettingsError, match="clusters named twice: ask_directly"):
        composing.all_clusters.__wrapped__()


def test_phrases_are_read_from_a_zip(tmp_path: Path) -> None:
    """The wheel goes to the cluster as a zip."""
    with zipfile.ZipFile(tmp_path / "pingti.zip", "w") as archive:
        for package in ("jobs", "models"):
            for path in (ROOT / package).rglob("*"):
                if path.suffix in (".py", ".yaml"):
                    archive.write(path, path.relative_to(ROOT))
    code = "from jobs.demo import composing as c; print(c.__file__, len(c.grammars()), len(c.all_clusters()))"
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={"PYTHONPATH": str(tmp_path / "pingti.zip")},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    count = str(len(all_clusters()))
    assert "pingti.zip" in ended.stdout
    assert ended.stdout.split()[1:] == [count, count]


def test_importing_the_corpus_reads_no_phrases() -> None:
    code = (
        "import jobs.demo.generator, jobs.demo.phrase_files as p;"
        "print([f.cache_info().misses for f in (p.read_families, p.read_slots, p.read_confusions)])"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[0, 0, 0]"


def test_changed_phrases_make_another_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = phrase_files.digest()
    for file in phrase_files.PHRASES.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    monkeypatch.setattr(phrase_files, "PHRASES", tmp_path)
    assert phrase_files.digest() == before
    with (tmp_path / "slots.yaml").open("a", encoding="utf-8") as slots:
        slots.write("another: 一 二\n")
    assert phrase_files.digest() != before
