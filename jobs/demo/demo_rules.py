"""The cleaning rules that belong to the demo corpus: texts of only symbols or emoji mean something certain.

Patterns run over the cleaned text: NFKC, lower case, no zero-width characters, a run of one symbol or emoji
collapsed to a single one. They match the whole text.
"""

from __future__ import annotations

from typing import Any

FLOWERS = "🌹🙏"
REACTIONS = "😂🤣😄😁😊😭👍👏❤🎉😅😆🤔😎💪🥳🔥"
EMOTES = ("呲牙", "偷笑", "强", "鼓掌", "微笑", "捂脸", "大哭", "得意", "可爱", "抱拳")
PUNCTUATION = r"\s。.,、!?~…·\-—_:;\"'()*#=<>/^"

DEMO_RULES: list[dict[str, Any]] = [
    {
        "name": "flowers_thank",
        "pattern": rf"^(?:[{FLOWERS}]\s*)+$",
        "outcome": "positive",
        "task": "praise",
        "label": "thanks_teacher",
    },
    {
        "name": "flowers_are_no_feedback",
        "pattern": rf"^(?:[{FLOWERS}]\s*)+$",
        "outcome": "negative",
        "task": "feedback",
        "label": None,
    },
    {
        "name": "only_punctuation",
        "pattern": rf"^[{PUNCTUATION}]+$",
        "outcome": "useless",
        "task": "*",
        "label": None,
    },
    {
        "name": "only_reactions",
        "pattern": rf"^(?:[{REACTIONS}]\ufe0f?\s*)+$",
        "outcome": "negative",
        "task": "*",
        "label": None,
    },
    {
        "name": "only_emotes",
        "pattern": rf"^(?:\[(?:{'|'.join(EMOTES)})\]\s*)+$",
        "outcome": "negative",
        "task": "*",
        "label": None,
    },
    {
        "name": "sixes_ones_pluses",
        "pattern": r"^(?:(?:6\s*)+|(?:1\s*)+|(?:\+\s*1?\s*)+)$",
        "outcome": "negative",
        "task": "*",
        "label": None,
    },
]
