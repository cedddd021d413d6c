"""Characters that look alike, as recognition of printed and handwritten pages confuses them."""

from __future__ import annotations

from jobs.demo.phrases.confusions import confusions

_GROUPS = (
    "己已巳 未末 日曰目 千干于 人入八 土士 大太犬 天夭夫 木本术 王玉主 田由甲申 白自 子孑 刀力 "
    "万方 几儿 九丸 午牛 元无 云去 开井 不否 问间闻 们门 今令 史吏 失矢 乌鸟 兔免 拔拨 辩辨 候侯 "
    "冶治 住往 侍待 折析 沐休 体休 作昨 怎忽 师帅 帅币 名各 合含 台合 古占 吉告 固因困 回同 园圆 "
    "处外 夕歹 幕墓慕 晴睛 清情请 阴阳 陪部 练炼 线钱 浅线 很狠 根很 恨根 银根 报极 板扳 杨扬 "
    "场扬 扰优 捎稍 搏博 摸模 渴喝 课棵 颗棵 稞课 题提 起超 赶赴 越起 达这 过达 边达 迁迂 远还 "
    "进近 送逆 退追 费货 贷货 赏尝 党觉 学字 写与 听昕 见贝 员贡 现观 规现 视祝 神祥 祥样 祸福 "
    "补扑 初袖 数教 敖教 政攻 故放 收叹 看着 着差 表衣 衰哀 哀衷 宜直 真直 具真 且旦 旦早 早旱 "
    "是昰 晚映 时吋 对村 树对 村材 林材 枝技 作乍 业亚 办为 为力 办力 为办 勾匀 句旬 勿匆 勺句 "
    "包句 北比 此比 化花 华毕 单草 半平 手毛 竟竞 意音 章草 童重 里理 埋理 量重 野豫 星早 显昱 "
    "果呆 杲果 朵杂 条杂 来米 米来 东车 连达 军车 上止 下卞 下个 正止 步少 少小 小水 水永 求术 "
    "冰水 泳冰 河何 可司 同司 词伺 洞铜 简筒 等笔 答签 算笪 点占 热熟 照昭 黑墨 然燃 0O 1l 1I 5S "
    "2Z 8B 6b 9g 6G ×x ÷+ =二 一- 口0 o0 :; ，、 。. "
)
GROUPS: tuple[str, ...] = tuple(_GROUPS.split())


GLYPHS: dict[str, str] = confusions(GROUPS)  # a character -> all it is taken for
