"""Competitive negatives of the task `praise`: the words of a label without its meaning."""

from __future__ import annotations

from jobs.demo.clusters import Cluster, Family

NEAR_PRAISE: tuple[Family, ...] = (
    Family(
        "near_praise",
        (0.028, 0.022, 0.0),
        (
            Cluster(
                "who_is_on_the_list",
                (
                    "({when}|)谁(在|上|进)(了|){board}(上|){tail}",
                    "{board}(上|)(都|)(有谁|是谁|有哪些人|有{name}吗){tail}",
                    "(恭喜|祝贺){name}(上|进|登上){board}",
                ),
                near=("asks_praise", "got_praise"),
                scenes="cs",
            ),
            Cluster(
                "thanks_to_pupils",
                (
                    "(谢谢|感谢)(大家|同学们|各位同学|{pupil})(的|)(小红花|配合|鲜花|点赞|提醒|到来)",
                    "(谢谢|感谢){pupil}(告诉老师|帮老师|指出)({qref}|这里|)(写错了|的错误|)",
                ),
                near=("thanks_teacher", "got_praise"),
                scenes="s",
            ),
            Cluster(
                "where_is_the_list",
                (
                    "{board}(在哪|在哪里|怎么|从哪)(看|找){tail}",
                    "{board}(什么时候|几点|周几)(出|更新|公布){tail}",
                    "{board}(是|要)(按|看)(什么|作业|积分)(排|评)的(吗|{tail})",
                ),
                near=("asks_praise",),
                scenes="cs",
            ),
            Cluster(
                "praise_to_come",
                (
                    "(做完|全对|打卡满{3-30}天)的(同学|)(老师|)(会|要|就可以)(上{board}|表扬|得小红花)",
                    "(咱们|我们)(看看|比比)谁(今天|{when}|)能(得到|拿到)(老师的|)(表扬|小红花|奖章)",
                    "(满分|{90-100}分以上)(就|才)(能|可以)上{board}(吗|{tail})",
                ),
                near=("got_praise", "asks_praise"),
                scenes="cs",
            ),
            Cluster(
                "praise_as_a_word",
                (
                    "(表扬|夸奖|公平|感谢|偏心)(用英语|的英文|的拼音|的反义词|的近义词)(怎么(说|写)|是什么){tail}",
                    "(用|请用)(表扬|公平|感谢|夸奖)(造|造一个|写)(句|句子)",
                    "(praise|fair|grateful)(是|就是|的意思是)(表扬|公平|感谢)(的意思|)",
                ),
                near=("asks_praise", "got_praise", "complains_unfair", "thanks_teacher"),
                scenes="cs",
            ),
            Cluster(
                "praise_others",
                (
                    "(快|老师|){sep}(表扬|夸夸|夸一下){name}{sep}(他|她)({deed}|好厉害|太强了)",
                    "{name}(好厉害|太强了|牛){sep}(该上{board}|必须表扬|给他小红花)",
                ),
                near=("asks_praise",),
                scenes="c",
            ),
            Cluster(
                "fair_game",
                (
                    "({qref}|)(这个|)(游戏|规则|抽签|转盘)(对双方|)(公平|不公平){sep}(概率|因为|理由)(都是|不等|是){frac}",
                    "(掷骰子|抛硬币|摸球)(决定|分)(谁先|胜负)(公平|不公平)(吗|{tail})",
                ),
                near=("complains_unfair",),
                scenes="cs",
            ),
            Cluster(
                "eccentricity",
                (
                    "(椭圆|双曲线|圆盘)的偏心(率|距)(是|怎么求|等于)({frac}|{dec}|)",
                    "(为什么|凭什么)(说|){seg}(平行于|垂直于|等于){seg}",
                    "为什么{qref}(选|不选|不是){abc}{tail}",
                ),
                near=("complains_unfair", "asks_praise"),
                scenes="cs",
            ),
            Cluster(
                "thank_you_letter",
                (
                    "(作文|习作|{qref})(题目|)(是|写)(给老师的一封感谢信|感谢有你|老师{sep}谢谢您|我的老师)",
                    "(写|给)(感谢信|贺卡)(的|)(格式|开头|结尾)(怎么|要)写(吗|{tail})",
                    "(课文|文章)(里|第{1-9}段)(作者|小明|{name})(感谢|谢谢)老师(是|)(因为|为什么)",
                ),
                near=("thanks_teacher",),
                scenes="cs",
            ),
        ),
        "praise",
    ),
)
