"""Checks of conditions: their grammar, names, types, and what can fail."""

from backend.i18n import Text
from backend.rulebook.checks import Check
from backend.rulebook.checks.example import with_condition

CHECKS = (
    Check(
        code="R030",
        title=Text(zh="条件的语法有误", en="The grammar of a condition is wrong"),
        why=Text(
            zh="括号成对，运算符两边各有一个值或条件。",
            en="Brackets come in pairs, and an operator has a value or a condition on both sides.",
        ),
        bad=with_condition("(facts.age >= 70 && facts.disabled"),
        good=with_condition("(facts.age >= 70 && facts.disabled)"),
    ),
    Check(
        code="R031",
        title=Text(zh="条件中的文本有误", en="A text in a condition is wrong"),
        why=Text(
            zh="文本用半角引号括起，反斜杠写作 `\\\\`。",
            en="A text stands between quotes, and a backslash in it is written `\\\\`.",
        ),
        bad=with_condition('has(facts.home) && facts.home == "east'),
        good=with_condition('has(facts.home) && facts.home == "east"'),
    ),
    Check(
        code="R032",
        title=Text(zh="规则语言不这样写", en="The rule language writes this otherwise"),
        why=Text(
            zh="“且”写作 `&&`，“或”写作 `||`，“非”写作 `!`，等于写作 `==`，标点和数字用半角。",
            en="And is written `&&`, or is `||`, not is `!`, equals is `==`, all in ASCII characters.",
        ),
        bad=with_condition("facts.age >= 70 且 facts.disabled"),
        good=with_condition("facts.age >= 70 && facts.disabled"),
    ),
    Check(
        code="R033",
        title=Text(zh="比较连写", en="Comparisons are chained"),
        why=Text(
            zh="每个比较只有两边；上限和下限用 `&&` 连接。",
            en="A comparison has two sides; join a lower and an upper bound with `&&`.",
        ),
        bad=with_condition("70 <= facts.age < 80"),
        good=with_condition("70 <= facts.age && facts.age < 80"),
    ),
    Check(
        code="R034",
        title=Text(
            zh="条件中的数字带有单位、百分号、日期或千分位",
            en="A figure in a condition has a unit, a percent sign, slashes or separators",
        ),
        why=Text(
            zh="条件中写数字本身；金额、时长和日期写成参数，便于标注依据和修改。",
            en="A condition has the bare number; write amounts, durations and dates as parameters with their sources.",
        ),
        bad=with_condition("facts.age >= 70岁"),
        good=with_condition("facts.age >= 70"),
    ),
    Check(
        code="R035",
        title=Text(zh="没有这个名称", en="There is no such name"),
        why=Text(
            zh="条件可以使用 facts、now 和本模块的参数；文本要加引号。",
            en="A condition knows `facts`, `now` and the parameters of its module; a text needs quotes.",
        ),
        bad=with_condition("age >= 70"),
        good=with_condition("facts.age >= 70"),
    ),
    Check(
        code="R036",
        title=Text(zh="没有这个字段", en="There is no such field"),
        why=Text(
            zh="写错的字段名若不指出，规则就会默默失效。",
            en="With a misspelt field that nobody points out, the rule would silently do nothing.",
        ),
        bad=with_condition("facts.aeg >= 70"),
        good=with_condition("facts.age >= 70"),
    ),
    Check(
        code="R037",
        title=Text(zh="没有这个函数，或用法不当", en="A function does not exist or is used wrongly"),
        why=Text(
            zh="`chengma rules facts 模块` 列出全部函数及其写法。",
            en="`chengma rules facts MODULE` lists every function and how it is written.",
        ),
        bad=with_condition("facts.stays.any(s, s.kind == 'owner')"),
        good=with_condition("facts.stays.exists(s, s.kind == 'owner')"),
    ),
    Check(
        code="R038",
        title=Text(zh="类型不符", en="Types do not fit"),
        why=Text(
            zh="数字与数字比较，时刻与时刻比较；列表先用 size() 或 exists() 变成数字或条件。",
            en="Numbers are compared with numbers, instants with instants; size() or exists() makes a number or a "
            "condition of a list.",
        ),
        bad=with_condition("facts.age >= '70'"),
        good=with_condition("facts.age >= 70"),
    ),
    Check(
        code="R039",
        title=Text(zh="事实可能没有值", en="A fact may be absent"),
        why=Text(
            zh="先用 has() 判断有没有值；总有值的字段不需要。",
            en="Test with has() whether there is a value; fields that always have one need no test.",
        ),
        bad=with_condition("facts.home == 'east'"),
        good=with_condition("has(facts.home) && facts.home == 'east'"),
    ),
    Check(
        code="R040",
        title=Text(zh="事实没有这个词", en="A fact does not have this word"),
        why=Text(
            zh="写错的词永远不会相等，规则就不会成立。",
            en="A misspelt word never equals the fact, so that the rule would never fire.",
        ),
        bad=with_condition("has(facts.home) && facts.home == 'eest'"),
        good=with_condition("has(facts.home) && facts.home == 'east'"),
    ),
    Check(
        code="R041",
        title=Text(zh="可能出错的计算", en="A computation can fail"),
        why=Text(
            zh="规则对任何人都必须有结论：除以零、列表取第一项等在某些人身上会失败。",
            en="A rule must have an answer for everybody; a division by zero or the first item of a list can fail.",
        ),
        bad=with_condition("1000 / facts.age < 15"),
        good=with_condition("facts.age * 15 > 1000"),
    ),
    Check(
        code="R042",
        title=Text(zh="`now` 的用法不当", en="`now` is used in a way whose change is unknown"),
        why=Text(
            zh="只有 now 与时刻、时长的加减和比较，才能算出结论何时改变。",
            en="Only sums and comparisons of `now` with instants and durations tell when a verdict changes.",
        ),
        bad=with_condition("now.getFullYear() >= 2021"),
        good=with_condition("now >= timestamp('2021-01-01T00:00:00+08:00')"),
    ),
    Check(
        code="R043",
        title=Text(zh="不是条件", en="This is not a condition"),
        why=Text(
            zh="条件的结果是真或假；数字或文本要与一个值比较。",
            en="A condition is true or false; compare a number or a text with a value.",
        ),
        bad=with_condition("facts.age"),
        good=with_condition("facts.age >= 70"),
    ),
    Check(
        code="R044",
        title=Text(zh="不属于规则语言的写法", en="This part of CEL is not in the rule language"),
        why=Text(
            zh="规则语言是 CEL 的一部分：没有 null、映射、字节和保留字。",
            en="The rule language is a part of CEL, without null, maps, bytes and reserved words.",
        ),
        bad=with_condition("facts.home != null"),
        good=with_condition("has(facts.home)"),
    ),
)
"""R030 to R044."""
