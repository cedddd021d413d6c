"""The slots that templates draw from: people, lessons, subjects, numbers, particles."""
# ruff: noqa: E501 - a template is one line, however long

from __future__ import annotations


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


SLOTS: dict[str, tuple[str, ...]] = {
    # People
    "surname": _words(
        "王 李 张 刘 陈 杨 黄 赵 吴 周 徐 孙 马 朱 胡 郭 何 高 林 罗 郑 梁 谢 宋 唐 许 韩 冯 邓 曹 彭 曾 肖 田 董 袁 潘 于 蒋 蔡 "
        "余 杜 叶 程 苏 魏 吕 丁 任 沈 姚 卢 姜 崔 钟 谭 陆 汪 范 金 石 廖 贾 夏 韦 付 方 白 邹 孟 熊 秦 邱 江 尹 薛 闫 段 雷 侯"
    ),
    "one": _words(
        "浩 轩 涵 欣 怡 晨 阳 宇 萱 琪 睿 彤 博 凯 佳 妍 然 诺 航 瑶 铭 可 悦 琳 杰 鑫 蕊 毅 楠 霖 熙 桐 玥 畅 宁 安 乐 朵 淇 岚"
    ),
    "two": _words(
        "子涵 梓轩 浩然 欣怡 雨桐 一诺 宇航 思远 诗涵 佳怡 俊杰 子墨 可馨 梦琪 博文 晨曦 语嫣 天佑 若汐 明轩 嘉豪 紫萱 雅婷 志远 "
        "奕辰 沐宸 星辰 瑾瑜 艺涵 景行 书瑶 承泽 安琪 乐怡 铭泽 静怡 鹏程 雪莹 家乐 皓月 芷若 泽宇 心怡 文博 依诺 睿哲 昊天 婉清"
    ),
    "name": ("{surname}{two}", "{surname}{two}", "{surname}{one}", "{two}", "小{one}"),
    "pupil": ("{name}", "{name}同学", "{name}", "{name}小朋友"),
    "teacher": ("老师", "老师", "老师", "{surname}老师", "{surname}老师", "班班", "班主任", "{surname}老湿"),
    "family": _words("我妈 我妈妈 我爸 我爸爸 奶奶 爷爷 我姐 姥姥"),
    # Particles and fillers
    "tail": ("", "", "", "啊", "呀", "吧", "嘛", "哦", "呢", "啦", "～"),
    "wow": _words("哇 耶 哈哈 嘻嘻 嘿嘿 太好了 好耶 啊啊啊 开心 yeah"),
    "sad": _words("呜呜 唉 555 哭了 无语 难过 啊这 emo了"),
    "sep": ("", "，", " ", "，"),
    "well": ("好", "好的", "来", "那", "那么", "然后呢", "嗯", "同学们", "孩子们", "咱们", "接下来", "行"),
    # Times and places in the course
    "when": _words("今天 刚才 刚刚 上节课 昨天 这节课 上周 这次 前天 今晚 上次 周{wd} 下午"),
    "wd": _words("一 二 三 四 五 六 日 末"),
    "lesson": (
        "第{1-30}讲",
        "第{1-9}单元",
        "第{1-16}课",
        "第{1-12}章",
        "{topic}这节",
        "期中复习{1-4}",
        "{topic}那一讲",
    ),
    "qref": (
        "第{1-28}题",
        "第{1-28}题",
        "第{1-6}大题",
        "填空第{1-9}题",
        "选择第{1-12}题",
        "例{1-12}",
        "练习{1-9}第{1-12}题",
        "第{1-28}题第{1-4}问",
        "P{3-160}第{1-9}题",
        "最后一题",
        "思考题",
    ),
    "book": _words("练习册 课本 讲义 学案 同步练习 口算本 活动手册 作业本 卷子 阅读书 默写本"),
    "device": _words("手机 平板 电脑 ipad 学习机 笔记本 台式机 妈妈手机"),
    "subject": _words("数学 语文 英语 物理 化学 生物 地理 历史 科学 编程 作文 奥数 阅读 口语 书法"),
    "topic": _words(
        "勾股定理 一元二次方程 分数乘法 小数除法 因式分解 二次函数 相似三角形 全等三角形 鸡兔同笼 行程问题 植树问题 圆的面积 "
        "比例 百分数 方程 不等式 平移旋转 概率 统计图 数轴 绝对值 有理数 整式 倍数和因数 长方体体积 工程问题 牛吃草 抽屉原理 "
        "浮力 压强 欧姆定律 串联电路 并联电路 光的折射 凸透镜成像 牛顿第一定律 杠杆 滑轮 密度 比热容 机械能 "
        "化学方程式 酸碱盐 氧化还原 元素周期表 质量守恒 溶解度 金属活动性 "
        "文言文 古诗鉴赏 比喻句 拟人 修改病句 说明方法 议论文 记叙文 人物描写 小石潭记 岳阳楼记 出师表 背影 "
        "现在完成时 过去式 定语从句 宾语从句 被动语态 冠词 音标 完形填空 阅读理解 情态动词 比较级 一般将来时 "
        "光合作用 细胞分裂 遗传 板块运动 洋流 鸦片战争 辛亥革命 唐朝 丝绸之路 循环语句 列表 递归"
    ),
    "word": _words(
        "apple banana because although important environment beautiful library weather hospital yesterday family science "
        "through thought enough neighbor interesting festival museum protect pollution discover invention traffic "
        "knowledge language customer delicious medicine vacation journey courage journey exercise healthy"
    ),
    "cword": _words(
        "惭愧 踌躇 蜿蜒 瞻仰 憔悴 烂漫 酝酿 黄晕 嘹亮 静谧 澄清 贮蓄 着急 卓越 镶嵌 繁衍 挑拨 赋予 殉职 魁梧 绽放 蹒跚 徘徊 "
        "慷慨 滑稽 琐屑 深宵 迭起 仰慕 翻来覆去 喜出望外 咄咄逼人 花团锦簇 呼朋引伴 截然不同 人迹罕至 语重心长"
    ),
    "thing": _words(
        "苹果 铅笔 书 篮球 邮票 糖果 练习本 彩球 鸡蛋 玩具车 课桌 树苗 橘子 风筝 门票 牛奶 饼干 徽章 气球 跳绳 尺子 卡片"
    ),
    "place": _words("学校 公园 图书馆 体育馆 火车站 少年宫 博物馆 超市 书店 电影院 动物园 游泳馆"),
    "food": _words(
        "火锅 饺子 面条 炸鸡 汉堡 包子 烤肉 米线 寿司 排骨 鱼香肉丝 蛋炒饭 螺蛳粉 西瓜 冰淇淋 奶茶 馒头 披萨"
    ),
    "hobby": _words(
        "蛋仔 我的世界 王者 羽毛球 乐高 画画 钢琴 游泳 篮球 滑板 跳绳 看漫画 下棋 魔方 吃鸡 看动画片 养仓鼠 打乒乓"
    ),
    "city": _words(
        "北京 上海 广州 成都 武汉 西安 郑州 杭州 南京 长沙 沈阳 哈尔滨 昆明 兰州 合肥 济南 青岛 大连 贵阳 南宁"
    ),
    "feel": _words("好饿 好困 好热 好冷 好累 好开心 有点晕 想睡觉 好无聊 好激动"),
    # Mathematics
    "n": ("{2-9}", "{10-99}", "{10-99}", "{100-999}"),
    "dec": ("{0-20}.{1-9}", "{1-9}.{10-99}", "0.{1-99}"),
    "var": _words("x y a b m n t k"),
    "frac": ("{1-9}/{2-12}", "{2-20}分之{1-9}"),
    "ans": (
        "{n}",
        "{dec}",
        "{frac}",
        "{var}={n}",
        "-{n}",
        "{n}{unit}",
        "{2-9}{var}+{1-20}",
        "{2-9}{var}-{1-20}",
        "{n}π",
        "√{2-50}",
        "({1-30},{1-30})",
        "{var}>{1-30}",
        "{n}%",
    ),
    "unit": _words("厘米 米 千克 元 平方米 个 小时 分钟 度 升 km/h 克 人 天 本"),
    "op": _words("+ - × ÷"),
    "expr": (
        "{n}{op}{n}",
        "{n}{op}{n}{op}{2-9}",
        "{dec}{op}{dec}",
        "{frac}{op}{frac}",
        "{2-9}{var}+{1-30}={30-99}",
        "{2-9}\\({var}+{1-9}\\)={20-90}",
        "{var}²-{2-12}{var}+{1-36}=0",
        "{n}×\\({n}-{2-9}\\)",
    ),
    "abc": _words("A B C D a b c d"),
    "abcs": (
        "{abc}",
        "{abc}{abc}{abc}",
        "{abc}{abc}{abc}{abc}{abc}",
        "{abc} {abc} {abc}",
        "{1-20}{abc}",
        "选{abc}",
        "{1-9}{abc}{1-9}{abc}",
    ),
    "tri": _words("△ABC △DEF △ABD △PQR △MNP 四边形ABCD 平行四边形ABCD 梯形ABCD 圆O 矩形EFGH 菱形ABCD"),
    "seg": _words("AB BC AC AD DE EF CD BD OA OB PQ MN CE BF"),
    "deed": _words(
        "今天第一个交作业 {qref}全对 坚持打卡{5-60}天 每节课都按时到 笔记写得特别工整 {qref}用了两种方法 敢于上麦发言 "
        "{topic}掌握得很好 考了{85-100}分 进步了{5-30}分 主动帮助同学 连续{3-20}次满分 回答得特别完整"
    ),
    "board": _words("表扬榜 光荣榜 红榜 优秀榜 小红花榜 积分榜 优秀作业榜 进步榜"),
}
