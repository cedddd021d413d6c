"""Phrases of the task `praise`: finding the teacher unfair, and thanking the teacher."""

from __future__ import annotations

from jobs.demo.clusters import Cluster, Family

_UNFAIR = ("complains_unfair",)

ESTEEM: tuple[Family, ...] = (
    Family(
        "complains_unfair",
        (0.0092, 0.005, 0.0),
        (
            Cluster(
                "teacher_is_partial",
                (
                    "{teacher}(偏心|太偏心了|就是偏心|真偏心|好偏心){tail}",
                    "(不公平|太不公平了|一点也不公平|不公平啊){sep}(凭什么|为什么)(总|老|每次都)(叫|点|选|让)(他|她|{name}|男生|女生)(回答|上麦|)",
                ),
                _UNFAIR,
                "cs",
            ),
            Cluster(
                "always_the_same",
                (
                    "(每次|总是|老是|{when}又)(都|)(点名|叫|选|让)(那几个人|同一个人|{name})(回答|上台|){sep}(从来不|就不|怎么不)(叫|点|选)我",
                    "我(举|都举)(了|)({2-40}次|半天|一节课)手(了|){sep}(就是|)(不|没)(叫|点)我{sep}(偏心|不公平|凭什么)",
                ),
                _UNFAIR,
                "cs",
            ),
            Cluster(
                "wrongly_marked",
                (
                    "我(明明|)({qref}|)(做对了|写对了|先举手的|第一个答的){sep}(凭什么|为什么)(扣我{1-10}分|不给我(分|星|积分)|给他(加分|星))",
                    "{name}(和我|跟我)(写的|答案)一样{sep}(他|她|)(对|满分|加分)我(错|扣{1-10}分|没有){sep}(凭什么|不公平|这公平吗)",
                ),
                _UNFAIR,
                "cs",
            ),
            Cluster(
                "praise_unfair",
                (
                    "(凭什么|为什么)(他|她|{name})(上|在|能上){board}{sep}我(却|就|)(不在|没有|上不了){sep}(不公平|偏心|我也{qref}全对)",
                    "(老师|{teacher})(只|光|就)(表扬|夸)(女生|男生|{name}|班长){sep}(不公平|偏心){sep}(也该表扬我|为什么不表扬我)",
                ),
                ("asks_praise", "complains_unfair"),
                "cs",
            ),
            Cluster(
                "group_points",
                (
                    "(为什么|凭什么)(我们|第{1-9}|{1-9})组(分|积分)(这么少|最低|比{1-9}组少){sep}(打分|评分)(不公平|有问题|偏心|不公正)",
                    "(他们|{1-9}组)(抢答|答题)(犯规|作弊|偷看)(了|)(还|也)(给|加)分{sep}(不公平|我不服)",
                ),
                _UNFAIR,
                "c",
            ),
            Cluster(
                "only_the_good_ones",
                (
                    "(老师|{teacher})(眼里|心里)只有(好学生|那几个|尖子生|{name})",
                    "(成绩差|学习不好|坐后面|考{30-60}分)(的|)就(不配|没资格)(被叫|回答问题|连麦|说话)(吗|是吧|呗)",
                    "一碗水(都|)端不平{tail}",
                    "(同样|一样)(迟到|没写作业|说话){sep}(只|就)(批评|罚|说)我{sep}(他|{name})(就|)(没事|不管)",
                ),
                _UNFAIR,
                "cs",
                held_out=True,
            ),
        ),
        "complaint",
    ),
    Family(
        "thanks_teacher",
        (0.036, 0.02, 0.0),
        (
            Cluster(
                "thanks",
                (
                    "(谢谢|感谢|多谢|谢谢谢谢|谢谢啦|万分感谢)(老师|{teacher}|您老师|{surname}老师){tail}",
                    "(谢谢|感谢)(老师|{teacher}){sep}({when}|)(学到了|收获很大|我懂了|再见|拜拜|下次见)",
                    "(老师|{teacher}){sep}(谢谢|感谢|3q|thanks|thank you)(您|你|){tail}",
                ),
                ("thanks_teacher",),
                "cs",
            ),
            Cluster(
                "hard_work",
                (
                    "(老师|{teacher}|老师们)({when}|)(辛苦了|您辛苦了|辛苦啦|真辛苦|太辛苦了){tail}",
                    "(讲了|上了)({2-6}个小时|一晚上|一整天){sep}(老师|{teacher})辛苦(了|啦)",
                ),
                ("thanks_teacher",),
                "cs",
            ),
            Cluster(
                "clear_now",
                (
                    "(听懂|明白|会做|学会{topic}|弄懂{qref})了{sep}(谢谢|感谢)(老师|{teacher})",
                    "(谢谢|感谢)(老师|{teacher})(讲得|讲的|讲题讲得)(这么|)(清楚|好|细|明白)",
                    "(谢谢|感谢)(老师|{teacher})(又|再)(讲|说)(了一遍|了{2-5}遍){qref}",
                ),
                ("thanks_teacher",),
                "cs",
            ),
            Cluster(
                "better_marks",
                (
                    "(孩子|娃|我家孩子|我)({subject}|{topic})(进步|提高)(很大|不少|了{5-40}分){sep}(感谢|谢谢)(老师|{teacher})(的付出|的耐心|)",
                    "(谢谢|感谢)(老师|{teacher})(这|)(一学期|一年|{2-9}个月)(的|)(教导|陪伴|照顾|付出)",
                ),
                ("thanks_teacher",),
                "cs",
            ),
            Cluster(
                "thanks_and_homework",
                ("(谢谢|感谢)(老师|{teacher}){sep}(请问|)({when}|)(的|)作业(是什么|写哪几页|几点交|在哪交)",),
                ("thanks_teacher", "asks_homework"),
                "cs",
            ),
            Cluster(
                "owe_it_to_you",
                (
                    "多亏(了|)(老师|{teacher}){sep}我(才|)(考了{80-100}分|(会|懂)了{topic}|敢开口了)",
                    "没有(您|老师|{teacher})(我|我家孩子)(就|肯定|真)(学不会{topic}|考不了{80-100}分|没信心了)",
                    "(遇到|碰到)(您|{teacher})(这样的老师|){sep}(真是|)(我|孩子)的(福气|幸运)",
                ),
                ("thanks_teacher",),
                "cs",
                held_out=True,
            ),
            Cluster(
                "wishes",
                (
                    "(老师|{teacher})(节日|新年|教师节|元旦)快乐{sep}(谢谢您|感谢您|感恩)",
                    "(爱您|爱你|么么哒|比心|抱抱)(老师|{teacher}){sep}(教会了我{topic}|您太好了|谢谢您)",
                ),
                ("thanks_teacher",),
                "cs",
            ),
        ),
        "thanks",
    ),
)
