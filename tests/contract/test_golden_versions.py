"""Scores and decisions that days were made from stay what they are until their version is raised."""

from __future__ import annotations

import json

import numpy as np

from tests.golden_versions import FILE, answers


def test_scores_and_decisions_are_those_held_under_their_versions() -> None:
    held, now = json.loads(FILE.read_text("utf-8")), answers()
    np.testing.assert_allclose(now.pop("probabilities"), held.pop("probabilities"), rtol=0, atol=2e-5)
    assert now == held
