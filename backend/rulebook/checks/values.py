"""Checks of the values in a module: facts, results, texts, dates, parameters and terms."""

from backend.i18n import Text
from backend.rulebook.checks import Check
from backend.rulebook.checks.example import EXAMPLE, EXAMPLE_CASES, changed

_VALUES = '    - {from: 2020-01-01, value: 80, source: "[V] order 1"}\n'
_LATER = '    - {from: 2022-01-01, value: 75, source: "[V] order 2"}\n'
_WITH_TERMS = changed(
    EXAMPLE,
    ("facts: Resident\n", 'facts: Applicant\nterms:\n  - {from: 2020-01-01, first_day: 5, source: "[V] order 1"}\n'),
)

CHECKS = (
    Check(
        code="R015",
        title=Text(zh="没有这种事实", en="There are no such facts"),
        why=Text(
            zh="`facts` 写服务提供的事实名称，或在模块中声明事实；`chengma rules facts` 列出全部。",
            en="`facts` names the facts that a service offers, or declares them; `chengma rules facts` lists all.",
        ),
        bad=changed(EXAMPLE, ("facts: Resident", "facts: Residents")),
        good=EXAMPLE,
    ),
    Check(
        code="R016",
        title=Text(zh="策略未知，或与结果不符", en="The strategy is unknown or does not fit the results"),
        why=Text(
            zh="策略规定几条规则同时成立时如何取结果。",
            en="The strategy says which result counts when several rules fire.",
        ),
        bad=changed(EXAMPLE, ("strategy: most_severe", "strategy: most_sever")),
        good=EXAMPLE,
    ),
    Check(
        code="R017",
        title=Text(zh="文本为空或过长", en="A text is empty or too long"),
        why=Text(
            zh="理由会显示给市民，应是一句完整而简短的话。",
            en="Citizens read the reasons: each is a whole and short sentence.",
        ),
        bad=changed(EXAMPLE, ("en: You are 70 or older", 'en: ""')),
        good=EXAMPLE,
    ),
    Check(
        code="R018",
        title=Text(zh="日期、时刻或期间的写法不当", en="A day, an instant or a period has the wrong form"),
        why=Text(
            zh="日期写作 2020-01-01，时刻须写明与 UTC 的时差，`until` 晚于 `from`。",
            en="A day is written 2020-01-01, an instant has its offset from UTC, and `until` is later than `from`.",
        ),
        bad=changed(EXAMPLE, ("  - id: old\n    from: 2020-01-01", "  - id: old\n    from: 2020/1/1")),
        good=EXAMPLE,
    ),
    Check(
        code="R019",
        title=Text(zh="值的写法或类型不当", en="A value has the wrong form or type"),
        why=Text(
            zh="数字不带单位和百分号，时长写作 14d 或 12h，金额写作 1_200 yuan。",
            en="A number has no unit or %, a duration is written 14d or 12h, an amount 1_200 yuan.",
        ),
        bad=changed(EXAMPLE, ("value: 80", "value: 80岁")),
        good=EXAMPLE,
    ),
    Check(
        code="R020",
        title=Text(zh="应为同一类型的值类型不同", en="Values that must be of one type are of several"),
        why=Text(
            zh="一个参数的各个值、一个列表的各项类型相同，条件才能比较它们。",
            en="The values of a parameter, or of a list, are of one type, so that a condition can compare them.",
        ),
        bad=changed(EXAMPLE, (_VALUES, _VALUES + _LATER.replace("75", '"75"'))),
        good=changed(EXAMPLE, (_VALUES, _VALUES + _LATER)),
    ),
    Check(
        code="R021",
        title=Text(zh="参数值的日期乱序或重叠", en="The values of a parameter are out of order or overlap"),
        why=Text(
            zh="同一天只能有一个值，最早的写在最前面。",
            en="On each day one value is in force; the earliest is written first.",
        ),
        bad=changed(EXAMPLE, (_VALUES, _LATER + _VALUES)),
        good=changed(EXAMPLE, (_VALUES, _VALUES + _LATER)),
    ),
    Check(
        code="R022",
        title=Text(zh="规则有效而参数没有值", en="A rule is in force while its parameter has no value"),
        why=Text(
            zh="没有值，规则就无法判断。",
            en="Without the value the rule could not decide.",
        ),
        bad=changed(EXAMPLE, (_VALUES, _VALUES.replace("2020-01-01", "2021-01-01"))),
        good=EXAMPLE,
    ),
    Check(
        code="R023",
        title=Text(zh="编号或名称重复", en="An id or a name is taken"),
        why=Text(
            zh="结论和案例按编号引用规则。",
            en="Verdicts and cases refer to a rule by its id.",
        ),
        bad=changed(EXAMPLE, ("id: very-old", "id: old")),
        good=EXAMPLE,
    ),
    Check(
        code="R024",
        title=Text(zh="模块没有这个结果、规则或参数", en="The module has no such result, rule or parameter"),
        why=Text(
            zh="`then` 只能写 `result` 中列出的词；整数也可以写参数名。",
            en="`then` is a word that `result` lists, or for numbers the name of a parameter.",
        ),
        bad=changed(EXAMPLE, ("then: basic", "then: basics")),
        good=EXAMPLE,
    ),
    Check(
        code="R025",
        title=Text(zh="数字超出范围", en="A number is outside its bounds"),
        why=Text(
            zh="每项事实和整数结果都有最小值和最大值。",
            en="Every fact, and every result that is a number, has a least and a greatest value.",
        ),
        bad=changed(EXAMPLE_CASES, ("{age: 69}", "{age: 690}")),
        good=EXAMPLE_CASES,
        file="cases",
    ),
    Check(
        code="R026",
        title=Text(zh="缺少条款，或不应有条款", en="Terms are missing or not expected"),
        why=Text(
            zh="有的事实带有执行条款（如发放日），这样的模块必须写 `terms`，其他模块不能写。",
            en="Some facts come with terms, such as the days of a payout; only modules on these have `terms`.",
        ),
        bad=changed(EXAMPLE, ("facts: Resident", "facts: Applicant")),
        good=_WITH_TERMS,
    ),
    Check(
        code="R027",
        title=Text(zh="条款提到的模块不存在", en="Terms name a module that does not exist"),
        why=Text(
            zh="例如被取代的津贴的模块名写错，两种津贴就会重复发放。",
            en="With a misspelt name, for example, a subsidy that is replaced would be paid as well.",
        ),
        bad=changed(_WITH_TERMS, ("first_day: 5", "replaces: subsidy.oldage")),
        good=changed(_WITH_TERMS, ("first_day: 5", "replaces: subsidy.old_age")),
    ),
    Check(
        code="R028",
        title=Text(zh="字段互相矛盾", en="Fields contradict each other"),
        why=Text(
            zh="每个字段单独看都对，合在一起不可能成立。",
            en="Each field alone is valid, but together they are impossible.",
        ),
        bad=changed(_WITH_TERMS, ("first_day: 5", "first_day: 20, last_day: 10")),
        good=changed(_WITH_TERMS, ("first_day: 5", "first_day: 10, last_day: 20")),
    ),
    Check(
        code="R088",
        title=Text(zh="条款中的时长短于一天", en="A duration of the terms is shorter than a day"),
        why=Text(
            zh="1m 是一分钟，不是一个月；条款按天计，一个月写作 30d。",
            en="1m is a minute, not a month; terms are counted in days, and a month is written 30d.",
        ),
        bad=changed(_WITH_TERMS, ("first_day: 5", "times: 2, waits: 1m")),
        good=changed(_WITH_TERMS, ("first_day: 5", "times: 2, waits: 30d")),
        silenced=True,
    ),
    Check(
        code="R089",
        title=Text(zh="条款不起作用", en="A term has no effect"),
        why=Text(
            zh="例如只能申领一次，就没有两次之间的间隔：多半漏写了次数。",
            en="What can be had once has no time between two claims, for example: the number of times is missing.",
        ),
        bad=changed(_WITH_TERMS, ("first_day: 5", "waits: 30d")),
        good=changed(_WITH_TERMS, ("first_day: 5", "times: 2, waits: 30d")),
        silenced=True,
    ),
)
"""R015 to R028, R088 and R089."""
