"""Texts of only symbols or emoji: the cleaning rules of `jobs.demo.demo_rules` settle them."""

from __future__ import annotations

from jobs.demo.clusters import Cluster, Family

SYMBOLS: tuple[Family, ...] = (
    Family(
        "symbols",
        (0.075, 0.0, 0.005),
        (
            Cluster(
                "sixes",
                ("666", "6666", "66666", "6", "111", "1", "1 1 1", "1111", "+1", "+++", "++"),
                scenes="c",
                settled=True,
                alone=True,
                weight=0.40,
            ),
            Cluster(
                "reactions",
                (
                    "(😂|😂😂|😂😂😂|🤣🤣)",
                    "(👍|👍👍|👍👍👍👍)",
                    "(😭|😭😭😭)",
                    "(🎉🎉|❤️❤️|👏👏👏|😁😁|😎|😄😄😄|🤔|🥳|🔥🔥|💪)",
                    "(😂|😭|👍|👏|😅|😆)(😂|🤣|👍|🎉|😊)(😂|👏|)",
                ),
                scenes="c",
                settled=True,
                alone=True,
                weight=0.22,
            ),
            Cluster(
                "emotes",
                (
                    "\\[(呲牙|偷笑|强|鼓掌)\\]",
                    "(\\[呲牙\\]\\[呲牙\\]|\\[强\\]\\[强\\]|\\[鼓掌\\]\\[鼓掌\\]\\[鼓掌\\])",
                    "\\[(呲牙|偷笑|强|鼓掌|微笑|捂脸|大哭|得意|可爱|抱拳)\\]\\[(呲牙|偷笑|强|捂脸|大哭)\\]",
                ),
                scenes="c",
                settled=True,
                alone=True,
                weight=0.16,
            ),
            Cluster(
                "marks",
                (
                    "。。。。",
                    "。。。",
                    "...",
                    "???",
                    "？？？？",
                    "!!!",
                    "……",
                    "~~~",
                    "、、、",
                    "——",
                    "。",
                    "?",
                    "***",
                ),
                scenes="cp",
                settled=True,
                alone=True,
                weight=0.22,
            ),
        ),
        "chat",
    ),
)

FLOWERS: tuple[Family, ...] = (
    Family(
        "flowers",
        (0.009, 0.0, 0.0),
        (
            Cluster(
                "flowers",
                ("(🌹|🌹🌹|🌹🌹🌹|🌹🌹🌹🌹🌹)", "(🙏|🙏🙏|🙏🙏🙏)", "(🌹🌹🙏|🙏🌹|🌹🙏🌹🙏|🙏🙏🌹🌹)"),
                ("thanks_teacher",),
                "c",
                settled=True,
                alone=True,
            ),
        ),
        "thanks",
    ),
)
