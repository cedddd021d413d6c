"""The parts the demo corpus is made of: grammar, plan, seasons, noise, and the annotators' draw."""

from __future__ import annotations

from datetime import date, datetime
from random import Random
from typing import Any

import pytest
from pydantic import ValidationError

from jobs.demo.annotators import Reservoir, caps
from jobs.demo.clusters import CHAT, SCENES
from jobs.demo.composing import EVERYDAY, Wording, all_clusters, all_families, grammars, mix
from jobs.demo.confusions import glyphs, homophones
from jobs.demo.corpus_plan import CHUNK, allocate, plan, season, second_of_day, stream, volume
from jobs.demo.corpus_settings import ChatNoise, CorpusSettings, PhotoNoise, SpeechNoise
from jobs.demo.grammar import Grammar, expand
from jobs.demo.noise import chat_noise, photo_noise, speech_noise, substitute
from jobs.demo.phrase_files import read_confusions, read_families
from jobs.demo.source_records import Record


def _drawn(template: str, **slots: tuple[str, ...]) -> set[str]:
    choice = Grammar(slots).choice((template,))
    random = Random(0)
    return {expand(choice, random.random) for _ in range(400)}


def test_grammar_draws_every_alternative_and_nothing_else() -> None:
    assert _drawn("(a|b|)c{x}", x=("1", "{y}"), y=("2",)) == {"ac1", "ac2", "bc1", "bc2", "c1", "c2"}
    assert _drawn("{8-10}") == {"8", "9", "10"}
    assert _drawn(r"f\(x\)=\{1\}") == {"f(x)={1}"}
    assert _drawn("((a|b)x|)") == {"ax", "bx", ""}


@pytest.mark.parametrize("template", ["(a|b", "a)", "{unknown}", "{open"])
def test_grammar_refuses_malformed_templates(template: str) -> None:
    with pytest.raises(ValueError, match=r"template|slot"):
        Grammar({}).choice((template,))


def test_every_cluster_words_something() -> None:
    random = Random(1)
    for cluster, choice in zip(all_clusters(), grammars(), strict=True):
        texts = {expand(choice, random.random) for _ in range(200)}
        assert all(text.strip() for text in texts), cluster.name
        assert not any(char in text for text in texts for char in "{}|"), cluster.name
        assert len(texts) >= 3, cluster.name


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("day", [date(2026, 1, 10), date(2026, 2, 12), date(2026, 3, 1)])
def test_mix_is_a_distribution_with_room_for_everyday_talk(scene: str, day: date) -> None:
    running = mix(scene, day, 1.0)
    assert list(running) == sorted(running)
    assert running[-1] == pytest.approx(1)
    filling = sum(len(family.clusters) for file in EVERYDAY for family in read_families(file))
    assert 1 - running[-filling - 1] > 0.5


def test_clusters_of_a_label_differ_a_lot_in_frequency() -> None:
    for family in all_families():
        if CHAT in family.rates and next(iter(family.clusters.values())).weight is None:
            weights = [weight for weight in family.weights(CHAT) if weight]
            assert len(weights) == 1 or max(weights) > 3 * min(weights), family.name
            assert sum(weights) == pytest.approx(1)


def test_allocation_is_exact_and_proportional() -> None:
    assert allocate(10, (1, 1, 1)) == [4, 3, 3]
    assert allocate(7, (5, 0, 2)) == [5, 0, 2]
    assert sum(allocate(1_000_003, [0.1 * k + 0.3 for k in range(63)])) == 1_000_003


def test_plan_covers_every_record_once() -> None:
    settings = CorpusSettings(texts=60_000, days=5)
    chunks = plan(settings)
    assert sum(chunk.count for chunk in chunks) == settings.texts
    assert max(chunk.count for chunk in chunks) <= CHUNK
    for scene in SCENES:
        of_scene = [chunk for chunk in chunks if chunk.scene == scene]
        assert [c.first for c in of_scene] == [sum(x.count for x in of_scene[:k]) for k in range(len(of_scene))]
        positions = [b.position for c in of_scene for b in c.broken]
        assert len(set(positions)) == len(positions)
        assert all(c.first <= b.position < c.first + c.count for c in of_scene for b in c.broken)
    assert {chunk.day for chunk in chunks if chunk.per_label} == {*settings.annotated_days, *settings.checked_days}
    assert len(settings.checked_days) == 3
    assert {chunk.checked for chunk in chunks} == {None, *settings.checked_days}


def test_streams_differ_by_key_and_seed() -> None:
    settings = CorpusSettings()
    draws = {
        stream(settings, "a", 1).random(),
        stream(settings, "a", 2).random(),
        stream(settings, "b", 1).random(),
        stream(settings.model_copy(update={"seed": 2}), "a", 1).random(),
    }
    assert len(draws) == 4
    assert stream(settings, "a", 1).random() == stream(CorpusSettings(), "a", 1).random()


def test_seasons_follow_the_school_year() -> None:
    assert [season(date(2026, 1, 10)), season(date(2026, 2, 25)), season(date(2026, 2, 10))] == [
        "exam",
        "start",
        "plain",
    ]
    assert volume(date(2026, 2, 14)) > volume(date(2026, 2, 9))  # a Saturday, a Monday


def test_seconds_of_a_day_grow_and_stay_in_class_hours() -> None:
    for day in (date(2026, 2, 14), date(2026, 2, 9)):
        seconds = [second_of_day(k / 500, day) for k in range(501)]
        assert seconds == sorted(seconds)
        assert seconds[0] >= 7 * 3600
        assert seconds[-1] <= 23 * 3600


def test_tables_of_confusion_are_large_and_never_map_to_themselves() -> None:
    assert len(read_confusions().homophones) >= 150
    assert len(glyphs()) >= 120
    for table in (homophones(), glyphs()):
        assert all(others and char not in others for char, others in table.items())


def test_noise_at_rate_zero_changes_nothing() -> None:
    draw = Random(3).random
    silent_chat = ChatNoise(repeated_marks=0, typo=0, full_width=0, upper_case=0, zero_width=0)
    silent_speech = SpeechNoise(homophone_char=0, drop_char=0, double_char=0, filler=0, marks=0)
    silent_photo = PhotoNoise(glyph_char=0, broken_line=0, stray_space=0)
    for _ in range(50):
        assert chat_noise("老师讲得好吗ok?", silent_chat, draw) == "老师讲得好吗ok?"
        assert photo_noise("解:设x=3，答:3个。", silent_photo, draw) == "解:设x=3，答:3个。"
        assert speech_noise("好，我们看题。", silent_speech, draw) == "好我们看题"  # speech has no marks


def test_noise_at_rate_one_does_what_it_says() -> None:
    draw = Random(4).random
    loud = ChatNoise(repeated_marks=0, typo=0, full_width=1, upper_case=1, zero_width=0)
    assert chat_noise("ok好", loud, draw) == "ＯＫ好"
    broken = PhotoNoise(glyph_char=0, broken_line=1, stray_space=0)
    assert photo_noise("今天的作业是什么", broken, draw).replace("\n", "") == "今天的作业是什么"
    assert "\n" in photo_noise("今天的作业是什么", broken, draw)
    changed = substitute("作业", {"作": "做"}, 20, draw)
    assert changed == "做业"


def test_annotators_draw_is_the_same_in_any_order_and_bounded() -> None:
    nothing = caps(CorpusSettings(), 0)
    wanted = nothing | {("praise", "random", ""): 5}
    place = next(i for i, c in enumerate(all_clusters()) if c.name == "daily_life")
    offers = [(f"m{k:03d}", f"text {k % 30}", (k % 30) * 7919 % 101) for k in range(90)]

    def drawn(order: list[tuple[str, str, int]], parts: int) -> list[tuple[str, str]]:
        whole = Reservoir(wanted)
        for part in range(parts):
            some = Reservoir(wanted)
            for row_id, text, priority in order[part::parts]:
                record = Record(row_id, text, datetime(2026, 1, 1))
                some.consider(CHAT, record, Wording(text, frozenset(), (place,)), priority)
            whole.merge(some)
        return [(c.source_id, c.text) for c in whole.chosen("praise")]

    shuffled = Random(5).sample(offers, len(offers))
    assert drawn(offers, 1) == drawn(shuffled, 1) == drawn(shuffled, 7)
    assert len(drawn(offers, 1)) == 5
    assert all(row_id < "m030" for row_id, _ in drawn(offers, 1))  # the earliest stands for the same words


@pytest.mark.parametrize(
    "wrong",
    [{"texts": 0}, {"days": 0}, {"speech_share": 0.9, "photo_share": 0.2}, {"label_scale": 9}, {"typos": 1}],
)
def test_settings_refuse_what_cannot_be(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        CorpusSettings(**wrong)
