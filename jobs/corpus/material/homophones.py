"""Characters that sound the same (tones apart), as speech recognition and pinyin keyboards confuse them."""

from __future__ import annotations

_GROUPS = (
    "在再载 做作坐座 的得地 他她它 是事市式试时十 有又友由右 为位未味喂 以已意一医依 会回汇 "
    "到道倒刀 说硕 要药耀腰 就旧救九久酒 和合河何喝 这者着 那纳拿哪 里理力立李利 后候厚 没美妹每 "
    "都兜 没梅煤 对队堆 起气七期其奇 看砍 好号毫 老姥 师诗失湿狮 题提体替 听厅 见件间建减简检 "
    "声生升胜 音因阴引印 课可刻客科 题踢蹄 听停 业页夜叶也 交教叫角脚 写谢些血 完玩晚万 什神身深 "
    "么嘛吗妈马 怎增 能嫩 不步部布补 表标 扬阳羊杨样养 榜帮棒 为维微 夸垮跨 红洪宏 花话画化华 "
    "星行形兴型 分份粉纷 加家价架假 奖讲江降将 状装壮 谢泄 辛心新欣 苦哭库 公工功共供 平评瓶凭苹 "
    "偏篇片 心信 退推 费飞非肥 款宽 钱前千浅 烦反饭返 太台态抬 差茶查 慢满漫 快块 卡咖 网王往忘望 "
    "机鸡级几 视室世 频品贫 黑嘿 屏萍 闪山善 软阮 件健 登等灯 录路陆露 码麻 上尚 传船穿 "
    "数书树输属 学雪 语雨与 文问闻温 英应影赢 物务误雾 理礼 化划 方房放芳 程成城承 函含寒 形型 "
    "角绞 求球秋 算酸 解姐接节 设社射 答达大打 案安按岸 选宣 正证政整 确却 错措 第弟递 章张掌 "
    "单担丹 元圆员原园 本奔 今金斤紧 天添田 明名鸣 昨左 周州粥 次词此 现县线限先 开凯 始使史 "
    "下夏吓 同童铜 号耗 多朵夺 少烧 半办般板 全权泉 都督 只知之支直值 因音 所索锁 想响向像象项相 "
    "知织 道稻 懂董动洞东 清情请轻青 楚处出初 小晓笑校 高搞告 速苏诉宿 度独读 重中种众 量两亮凉 "
    "长常场唱 比笔必闭 点典电店 面棉 线显 积记纪计技继季 倍被背北备 乘呈 除厨 减剪 商伤 余鱼于 "
    "根跟 号浩 式释 "
)
GROUPS: tuple[str, ...] = tuple(_GROUPS.split())


def _table() -> dict[str, str]:
    table: dict[str, str] = {}
    for group in GROUPS:
        for char in group:
            others = table.get(char, "") + group.replace(char, "")
            table[char] = "".join(dict.fromkeys(others.replace(char, "")))
    return table


HOMOPHONES: dict[str, str] = _table()  # a character -> all it is taken for
