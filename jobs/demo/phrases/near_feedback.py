"""Competitive negatives of the task `feedback`: the words of a label without its meaning."""

from __future__ import annotations

from jobs.demo.clusters import ALL, Cluster, Family

NEAR_FEEDBACK: tuple[Family, ...] = (
    Family(
        "near_feedback",
        (0.045, 0.055, 0.035),
        (
            Cluster(
                "teacher_sets_homework",
                (
                    "({well}|)({when}|)(的|)作业(是|呢是|就是){book}(第|P|){3-160}(页|到{161-190}页|页{qref})",
                    "({well}|)(作业|{book})(记得|一定|要)(按时|今晚{7-10}点前|周{wd}前)(交|提交|完成|上传)",
                    "(作业|{book})(里|)(的|){qref}(很多同学|有{3-40}位同学|大家)(错了|没写过程|做得不好)",
                ),
                near=("asks_homework",),
                scenes="s",
            ),
            Cluster(
                "can_you_hear_me",
                (
                    "(能|可以|都能)(听见|听到|听清)(老师|我|我说话|老师的声音|)(吗|的扣{1-2}|的打{1-2})",
                    "(声音|画面)(正常|清楚|可以)(的|)(同学|)(扣|打|刷)(个|){1-6}",
                    "(没声音|听不见|卡)的(同学|){sep}(退出|刷新|重进|换个网)(一下|试试|)",
                ),
                near=("cannot_hear", "technical_problem"),
                scenes="s",
            ),
            Cluster(
                "i_hear_you",
                (
                    "(能|)(听见|听得见|听到|听得到|听得清)(了|的|老师|){tail}",
                    "(有|现在有|又有)声音(了|){tail}",
                    "(老师|{teacher}|)(的|)声音(真|好|很)(好听|清楚|温柔|甜|洪亮){tail}",
                ),
                near=("cannot_hear",),
                scenes="c",
            ),
            Cluster(
                "homework_done",
                (
                    "({when}|{subject}|{lesson}|)(的|)作业(我|)(写完|交|做完|提交|拍照传)(了|啦|过了){tail}",
                    "({when}|)(作业|{book})(不多|很少|挺简单|{5-50}分钟就写完了|好简单){tail}",
                    "(作业本|{book})(忘带|用完|找不到|落学校)了{tail}",
                ),
                near=("asks_homework", "complaint"),
                scenes=ALL,
            ),
            Cluster(
                "picture_is_fine",
                (
                    "(视频|画面|直播|屏幕|回放)(好了|恢复了|不卡了|很清楚|正常|看到了){tail}",
                    "(登|进|登录)(上|进)(来|去)(了|啦){tail}",
                    "({device}|app|软件)(更新|重启|下载)(完|好)了{sep}(不闪退了|可以了|能用了|)",
                ),
                near=("technical_problem", "cannot_hear"),
                scenes="cs",
            ),
            Cluster(
                "sound_in_physics",
                (
                    "(声音|声波)(在|不能在)(真空|{2-40}℃的空气|水|钢铁)(中|里)(传播|不能传播)(吗|的速度是{300-1500}米每秒|)",
                    "(真空|月球上)(中|里|)(为什么|)(听不见|听不到)声音",
                    "(响度|音调|音色)(跟|和|与)(振幅|频率|材料)(有关|的关系)",
                ),
                near=("cannot_hear",),
                scenes=ALL,
            ),
            Cluster(
                "refund_policy",
                (
                    "(退费|退款|退课)(政策|规则|流程)(是|)(什么课|哪节课|哪一讲)(上|)讲的{tail}",
                    "({when}|)(买|报)的课({3-15}天内|开课前)(都|)(可以|能|支持)退(费|款)(大家|家长们|)(放心|知悉|)",
                    "(我|)不(退|想退)(费|课|款){sep}(还要|继续|想)(学|上|续报)",
                ),
                near=("wants_refund",),
                scenes="cs",
            ),
            Cluster(
                "refund_in_arithmetic",
                (
                    "(商店|超市|书店)(退货|退款|退)(了|){2-60}(个|本|件){thing}{sep}(每|一)(个|本|件){dec}元{sep}(共|)(应退|退)多少钱",
                    "{name}(买|退)了{2-20}(个|本|张){thing}{sep}(退|找)(回|给他)(了|){2-90}(元|块)钱{sep}(还剩|每个)多少",
                    "(高铁|机票)票价{100-900}元{sep}退票(收|扣){5-20}%{sep}(退|还)(多少钱|{10-800}元)",
                ),
                near=("wants_refund",),
                scenes=ALL,
            ),
            Cluster(
                "hard_not_bad",
                (
                    "{qref}(太难了|好难|有点难|难死了){sep}(不会|想想|让我再算算|)",
                    "(老师|{teacher})(讲得|说得|讲的)(不快|刚刚好|太好了|太有意思了){tail}",
                    "(作文|口语)(题目|练习)(是|写)(一封投诉信|a letter of complaint|如何礼貌地抱怨|给客服写邮件)",
                ),
                near=("complaint",),
                scenes="cs",
            ),
            Cluster(
                "buttons_of_a_lesson",
                (
                    "({well}|){pupil}(把|你把)(摄像头|麦克风|屏幕共享|麦)(打开|关一下|开一下)",
                    "(点|按)(一下|)(屏幕|右上角|下面)的(举手|提交|签到|答题)(按钮|键)",
                    "(程序|代码)(第{2-60}行|){sep}(报错|提示|显示)(语法错误|缺少冒号|缩进不对){sep}(改成|加上|检查){word}",
                    "({lesson}|)回放(在哪|什么时候有|可以看几遍){tail}",
                ),
                near=("technical_problem",),
                scenes="cs",
            ),
            Cluster(
                "exercise_about_work",
                (
                    "(小明|{name})做作业(用|花)了{10-90}分钟{sep}(比|是){name}(多|少|的){2-20}(分钟|倍){sep}(问|求){name}(用|花)了多少分钟",
                    "(阅读|短文)(:|，)(作业|手机|声音)(与|和)(成长|健康|生活){sep}(回答|完成)第{1-9}题",
                ),
                near=("asks_homework", "complaint"),
                scenes="p",
            ),
        ),
        "homework",
    ),
)
