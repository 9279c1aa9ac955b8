"""Checks of meaning: parts of valid modules that have no effect, and what cases say of personas, reasons and terms."""

from backend.i18n import Text
from backend.rulebook.checks import Check
from backend.rulebook.checks.example import EXAMPLE, EXAMPLE_CASES, changed, with_condition, with_rule

_PERSONA = "personas:\n  - {persona: a person of eighty, given: {age: 80}}\n"
_WITH_PERSONA = EXAMPLE_CASES.replace("cases:\n", f"{_PERSONA}cases:\n")


_ENDING = changed(EXAMPLE, ("    from: 2020-01-01\n    when", "    from: 2020-01-01\n    until: {until}\n    when"))
_SUM = (
    "module: subsidy.old_age\ntitle: {zh: 高龄津贴, en: Old-age subsidy}\nfacts: Resident\n"
    "result: {at_least: 0, at_most: 100}\nstrategy: sum\nrules:\n"
    "  - id: old\n    from: 2020-01-01\n    when: facts.age >= 70\n    then: 10\n"
    '    because: {zh: 年满70周岁, en: You are 70 or older}\n    source: "[V] order 1"\n'
    "  - id: very-old\n    from: 2020-01-01\n    when: facts.age >= LIMIT\n    then: 10\n"
    '    because: {zh: 年满80周岁, en: You are 80 or older}\n    source: "[V] order 1"\n'
    "otherwise: {then: 0, because: {zh: 未满70周岁, en: You are younger than 70}}\n"
)
_TWO_HALVES = with_rule("man", "2020-01-01", "facts.age >= 70 && !facts.disabled", "high")

CHECKS = (
    Check(
        code="R050",
        title=Text(zh="人物重名", en="Two personas have the same name"),
        why=Text(
            zh="案例按姓名引用人物；重名时无法确定是哪一个。",
            en="A case names its persona; with two of the same name it would be unclear which.",
        ),
        file="cases",
        bad=changed(_WITH_PERSONA, (_PERSONA, _PERSONA + _PERSONA.partition("\n")[2])),
        good=_WITH_PERSONA,
    ),
    Check(
        code="R051",
        title=Text(zh="人物的事实与模块不符", en="A persona has the facts of another module"),
        why=Text(
            zh="人物的字段必须是本模块读取的事实结构中的字段。",
            en="The fields of a persona are those of the facts that the module reads.",
        ),
        file="cases",
        bad=changed(_WITH_PERSONA, ("eighty, given", "eighty, facts: Residnet, given")),
        good=changed(_WITH_PERSONA, ("eighty, given", "eighty, facts: Resident, given")),
    ),
    Check(
        code="R052",
        title=Text(zh="没有这个人物", en="A case names an unknown persona"),
        why=Text(
            zh="案例的事实取自人物；写错姓名，案例就没有事实。",
            en="The facts of the case are those of the persona; a misspelt name leaves it without facts.",
        ),
        file="cases",
        bad=changed(_WITH_PERSONA, ("{age: 80}\n    expect: high", "{persona: a person of eigthy}\n    expect: high")),
        good=changed(_WITH_PERSONA, ("{age: 80}\n    expect: high", "{persona: a person of eighty}\n    expect: high")),
    ),
    Check(
        code="R053",
        title=Text(zh="预期的理由为空", en="The expected reason is empty"),
        why=Text(
            zh="空的理由总是相符，案例永远不会失败。",
            en="An empty reason is a part of every reason, so that the case could not fail.",
        ),
        file="cases",
        bad=changed(EXAMPLE_CASES, ("expect: high", 'expect: {result: high, because: ""}')),
        good=changed(EXAMPLE_CASES, ("expect: high", "expect: {result: high, because: 年满80周岁}")),
    ),
    Check(
        code="R054",
        title=Text(zh="预期的执行条款不存在或无效", en="A case expects terms that the module cannot have"),
        why=Text(
            zh="只有事实结构带有执行条款的模块才有条款可核对。",
            en="Only modules whose facts come with terms have any.",
        ),
        file="cases",
        bad=changed(EXAMPLE_CASES, ("expect: high", "expect: {result: high, terms: {budget_fen: 100}}")),
        good=EXAMPLE_CASES,
    ),
    Check(
        code="R055",
        title=Text(zh="规则没有起始日期", en="A rule has no first day"),
        why=Text(
            zh="没有起始日期的规则适用于全部过去的时间。",
            en="A rule without `from` applies to all of the past, before the order that made it.",
        ),
        bad=changed(EXAMPLE, ("  - id: old\n    from: 2020-01-01\n", "  - id: old\n")),
        good=EXAMPLE,
        silenced=True,
    ),
    Check(
        code="R056",
        title=Text(zh="比较的结果早已确定", en="A comparison is always or never true"),
        why=Text(
            zh="界限在该事实的取值范围之外，比较不起作用，多半是数字或符号写错。",
            en="The bound is outside the values of the fact: a wrong figure, or a wrong sign.",
        ),
        bad=with_condition("facts.age < 0"),
        good=with_condition("facts.age < 14"),
        silenced=True,
    ),
    Check(
        code="R057",
        title=Text(zh="条件中的一部分不起作用", en="A part of a condition changes nothing"),
        why=Text(
            zh="其余部分已经决定了结果；多余的部分多半是写错的界限。",
            en="The other parts decide already; a part without effect is often a wrong bound.",
        ),
        bad=with_condition("facts.age >= 70 && facts.age >= 60"),
        good=with_condition("facts.age >= 70"),
        silenced=True,
    ),
    Check(
        code="R058",
        title=Text(zh="两条规则完全相同", en="Two rules have the same condition and result"),
        why=Text(
            zh="在求和的模块中，同一金额会被计算两次。",
            en="In a module that adds up, the same amount is given twice.",
        ),
        bad=changed(_SUM, ("LIMIT", "70")),
        good=changed(_SUM, ("LIMIT", "80")),
        silenced=True,
    ),
    Check(
        code="R059",
        title=Text(zh="规则的两个版本之间有空档", en="A few days lie between two editions of a rule"),
        why=Text(
            zh="“until”是不再适用的第一天，不是最后一天；空档中两个版本都不适用。",
            en="`until` is the first day without the rule, not its last day; in between neither edition is in force.",
        ),
        bad=with_rule("old-2021", "2021-01-01", "facts.age >= 65", "basic", _ENDING.replace("{until}", "2020-12-31")),
        good=with_rule("old-2021", "2021-01-01", "facts.age >= 65", "basic", _ENDING.replace("{until}", "2021-01-01")),
        silenced=True,
    ),
    Check(
        code="R060",
        title=Text(zh="参数没有被使用", en="Nothing reads a parameter"),
        why=Text(
            zh="修改它不会改变任何结论；规则中多半另写了一个数字。",
            en="A change of it would change no verdict; the rule often has the figure written out.",
        ),
        bad=changed(EXAMPLE, ("facts.age >= high_age", "facts.age >= 80")),
        good=EXAMPLE,
        silenced=True,
    ),
    Check(
        code="R061",
        title=Text(zh="参数的值从未使用", en="A value of a parameter is never in force"),
        why=Text(
            zh="该值有效的时间内没有规则读取它：值或规则的日期写错。",
            en="No rule reads it on any day on which it is in force: a date of the value or of the rule is wrong.",
        ),
        bad=changed(
            EXAMPLE,
            (
                "    - {from: 2020-01-01, value: 80",
                "    - {from: 2010-01-01, value: 90, source: '[V] order 0'}\n    - {from: 2020-01-01, value: 80",
            ),
        ),
        good=EXAMPLE,
        silenced=True,
    ),
    Check(
        code="R062",
        title=Text(zh="参数的值与之前完全相同", en="A value and its source are those before it"),
        why=Text(
            zh="复制的一行忘了修改数值、日期或依据。",
            en="A copied line in which the value, the date or the source was not changed.",
        ),
        bad=changed(
            EXAMPLE,
            ('order 1"}\nrules', 'order 1"}\n    - {from: 2022-01-01, value: 80, source: "[V] order 1"}\nrules'),
        ),
        good=changed(
            EXAMPLE,
            ('order 1"}\nrules', 'order 1"}\n    - {from: 2022-01-01, value: 85, source: "[V] order 2"}\nrules'),
        ),
        silenced=True,
    ),
    Check(
        code="R063",
        title=Text(zh="没有规则得出某个结果", en="No rule has one of the results"),
        why=Text(
            zh="列出的结果无人能得到：缺少规则，或某条规则的“then”写错。",
            en="Nobody can get a result that is listed: a rule is missing, or the `then` of one is wrong.",
        ),
        bad=changed(EXAMPLE, ("[none, basic, high]", "[none, basic, middle, high]")),
        good=EXAMPLE,
        silenced=True,
    ),
    Check(
        code="R064",
        title=Text(zh="几条规则合起来遮蔽了另一条", en="Several rules together shadow another"),
        why=Text(
            zh="它触发时，总有更严重或更靠前的规则先起作用；它的结果无人能得到。",
            en="Whenever it fires, a more severe or an earlier rule decides; nobody gets its result.",
        ),
        bad=with_rule("disabled", "2020-01-01", "facts.age >= 70 && facts.disabled", "high", _TWO_HALVES),
        good=_TWO_HALVES,
        silenced=True,
    ),
)
"""R050 to R064."""
