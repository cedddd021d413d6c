"""Everyday texts of the other scenes: teachers teaching, and what stands on homework."""
# ruff: noqa: E501 - a template is one line, however long

from __future__ import annotations

from jobs.demo.clusters import Cluster, Family

# The rates of everyday families are relative to each other within a scene: they share what the labels leave.
LESSONS: tuple[Family, ...] = (
    Family(
        "teaching",
        (0.0, 0.90, 0.0),
        (
            Cluster(
                "stock_phrases",
                (
                    "(好|对|对吧|是不是|好不好|明白了吗|听懂了吗|来|继续|很好|非常好|没问题|大家看这里|同学们好|我们上课|下课|稍等一下|嗯好|不着急|想一想)",
                    "(好的|好|来)(同学们|孩子们|我们)(继续|看黑板|看屏幕|往下看|下一题|把笔拿起来|坐好)",
                    "(听懂|明白|会|写完|抄完|看到)(的|了的)(同学|)(扣|打)(个|){1-3}",
                    "(还有|有没有)(问题|不懂的|疑问)(吗|)",
                    "(这个|这里|这一步)(很|非常|特别)(重要|简单|关键)",
                ),
                scenes="s",
                weight=0.9,
            ),
            Cluster(
                "explaining",
                (
                    "({well}|)(我们|咱们)(来|一起|先)看(一下|){qref}{sep}(这道题|它)(考的|考查的)(呢|)(是|就是){topic}",
                    "({well}|)(把|将)({n}|{var}|这个式子)(代入|带到|代到)(上面|第{1-3}个式子|原方程)(里|中|)(就|){sep}(得到|等于|是){ans}",
                    "{expr}(等于多少|怎么算|先算哪一步){sep}(对|没错|同学们)(先|要先)(算|看)(乘法|括号|{n}|通分)",
                    "{topic}(和|跟){topic}(的|)(区别|联系)(在于|就是|大家记住){sep}(一个|前者)(是|看)(条件|{cword}|定义|方向)",
                    "(设|我们设)(这个|)(速度|人数|单价|长)(为|是){var}{sep}(那么|那)(总共|一共|另一个)就是{2-9}{var}(加|减){1-60}",
                    "(由|根据){topic}(我们|)(知道|得到|可以得出)(角|线段|){seg}(等于|大于|平行于){seg}{sep}(所以|因此)(这道题|)选{abc}",
                ),
                scenes="s",
                weight=0.4,
            ),
            Cluster(
                "language_class",
                (
                    "(跟我读|一起读|大家读) {word} {word} (它的意思是|注意重音|再来一遍|第{1-4}声)",
                    "(作者|诗人)(在|)第{1-9}(段|句)(写|用)(了|){cword}(这个词|){sep}(表达|写出|突出)(了|)(对{city}的思念|内心的{cword}|{cword}的样子)",
                    "{topic}(我们|)(通常|一般|往往)(用在|放在|出现在)(句首|句尾|{word}的前面|第{1-5}个空)",
                    "{cword}(的|)(偏旁|部首|读音|意思)(是|要|大家)(记住|注意|看)(左边|右边|第{1-9}笔|){sep}(不要|别)(写|读)错",
                    "(翻译|听写)第{1-30}(句|个){sep}(主语是|注意|我们用){word}(再|然后)(接|加)(动词|{word}|介词)",
                ),
                scenes="s",
                weight=0.25,
            ),
            Cluster(
                "calling_on",
                (
                    "({well}|){pupil}(你|请你|)(来|)(回答|说|读|讲)(一下|){qref}",
                    "({well}|)(还有|有没有)(哪位|谁)(想|能)(上麦|来说|回答)({qref}|{topic})(吗|的|){sep}{name}(来|你说|)",
                    "{name}(写|做|算)到(哪|{qref})(了|啦){sep}(跟上|别走神|抬头看屏幕|)",
                    "({name}|{name}和{name})(说|觉得|选)(是|){abc}{sep}(大家|你们)(同意吗|觉得呢|看看对不对)",
                ),
                scenes="s",
                weight=0.2,
            ),
            Cluster(
                "running_the_class",
                (
                    "({well}|)(给|给大家){1-10}分钟(时间|){sep}(做|完成|独立做){qref}(到{qref}|)",
                    "(把|请把)({book}|讲义)翻到(第|){3-180}页{sep}(看|读|找)({qref}|第{1-9}段|{topic})",
                    "(下课|休息|课间)(休息|){5-15}分钟{sep}(喝|去喝)(点|口)水{sep}(我们|){6-21}点{1-59}分(继续|回来|开始)",
                    "(下节课|{when}|下周{wd})(我们|咱们)(学|讲|复习){lesson}{sep}(记得|大家|提前)(预习|带好{book}|把{topic}看一下)",
                    "(期末|期中|单元)(考试|测验)(一般|基本上|)(会|必)考{topic}{sep}(分值|大概|)(在|){3-15}分(左右|)",
                ),
                scenes="s",
                weight=0.15,
            ),
        ),
        "",
    ),
    Family(
        "paper",
        (0.0, 0.0, 1.0),
        (
            Cluster(
                "stock_lines",
                (
                    "(解:|答:|证明:|一、填空题|二、选择题|三、判断题|四、应用题|五、解答题|草稿纸|错题本|课堂笔记|思考题|姓名|班级|学号|优|良|A|A+|阅|已订正|×|√)",
                    "(一|二|三|四|五|六)、(填空|选择|判断|计算|解答|口算|阅读|默写)(题|)",
                    "第{1-9}(页|题|单元)",
                    "({1-5}{0-9}|{60-100})分",
                ),
                scenes="p",
                weight=0.65,
            ),
            Cluster(
                "sums",
                (
                    "{1-30}.{expr}= {1-30}.{expr}=",
                    "{1-20}、计算:{expr}={ans}",
                    "\\({1-12}\\){expr} \\({1-12}\\){expr}",
                    "解方程:{expr} 解:{var}={ans}",
                    "脱式计算 {n}{op}{n}{op}{n} ={n} ={n}",
                ),
                scenes="p",
                weight=0.3,
            ),
            Cluster(
                "word_problems",
                (
                    "{1-12}.{name}(有|买了){n}(个|本|张){thing}{sep}(送给|给){name}{2-20}(个|本|张)后{sep}还剩多少? 答:还剩{n}(个|本|张)",
                    "{1-12}.甲乙两地相距{60-900}千米{sep}一辆(汽车|客车|货车)每小时行{40-120}千米{sep}(行了|){dec}小时后(距离|离)乙地多远",
                    "{1-12}.一个(长方体|圆柱|正方体)(的|)(长|底面半径|棱长){2-30}(厘米|分米){sep}高{2-40}(厘米|分米){sep}求(体积|表面积)",
                    "{1-12}.(修|加工)(一条路|一批{thing}){sep}甲{2-20}天(完成|修完){sep}乙{3-30}天(完成|修完){sep}合作几天",
                    "解:设{name}(有|做了){var}(个|道|元) {expr} {var}={n} 答:{name}(有|做了){n}(个|道|元)",
                ),
                scenes="p",
                weight=0.25,
            ),
            Cluster(
                "geometry",
                (
                    "{1-25}.如图,在{tri}中,{seg}={2-30},{seg}={2-30},∠{1-9}={20-150}°,求{seg}的长",
                    "证明:∵{seg}∥{seg} ∴∠{1-9}=∠{1-9} ∵{seg}={seg} ∴{tri}≌{tri}",
                    "{1-25}.(物体|小球|木块)质量{n}(g|kg),{topic},求(压强|功率|{var}) 解:F={n}N",
                ),
                scenes="p",
                weight=0.13,
            ),
            Cluster(
                "languages",
                (
                    "{1-30}.{word} (n|v|adj). {1-30}.{word} {1-30}.{word}",
                    "看拼音写词语:\\({cword}\\) \\({cword}\\) \\({cword}\\)",
                    "{1-30}.(I|We|They|She|He) (like|have|go to|talk about|enjoy) {word} (yesterday|every day|in {city}|with {word}). \\({abc}\\)",
                    "用{cword}造句:{name}({when}|)(感到|显得|看上去)(很|十分|有些){cword}",
                    "《{topic}》(作者|朝代|主旨):{cword}、{cword}{sep}第{1-9}段写了{place}的{cword}",
                    "({when}|星期{wd}){sep}我和{name}去{place}{sep}(看到|遇见|想起)了{thing}{sep}(心里|我们)(很|十分){cword}",
                ),
                scenes="p",
                weight=0.2,
            ),
            Cluster(
                "heads_and_marks",
                (
                    "姓名:{name} 班级:{1-9}年级({1-20})班 (得分|成绩|学号):{1-120}",
                    "{subject}{lesson}(练习|测试卷|周测|学案) (满分|时间){40-150}(分|分钟)",
                    "(订正|改错|错题):{qref} {expr} ({topic}|粗心|看错题)",
                    "(优|良|A+|A|阅|已阅|{60-100}分) {1-12}月{1-30}日",
                    "(家长签字|签名):{name} {1-12}月{1-30}日 (已检查|已背诵|已完成|读了{10-60}分钟)",
                ),
                scenes="p",
                weight=0.12,
            ),
        ),
        "exam",
    ),
)
