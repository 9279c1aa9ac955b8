"""Checks of claims and what is proved, and of files in the languages around ours."""

from backend.i18n import Text
from backend.rulebook.checks import Check
from backend.rulebook.checks.example import EXAMPLE, EXAMPLE_CLAIMS, EXAMPLE_RULE, changed, with_condition

_CLAIM = "    less: facts.income_fen\n    never: different\n"
_ALWAYS = changed(
    EXAMPLE_CLAIMS,
    (_CLAIM, '    always: facts.age >= 70 || new.result == "none"\n'),
    ("income-never-matters", "nobody-too-young"),
    ("收入高低不影响津贴", "不满70周岁没有津贴"),
    ("A lower income never changes the subsidy", "Nobody younger than 70 gets a subsidy"),
)
_COMPLETE = '{">=": [{"var": "payload.v.0.dn"}, {"var": "payload.v.0.sd"}]}'


def _after(one: str, other: str) -> str:
    """Return the example of a CertLogic rule with another comparison, of two instants."""
    logic = f'{{"after": [{{"plusTime": [{{"var": "payload.v.0.{one}"}}, 0, "day"]}}, {{"plusTime": [{other}]}}]}}'
    return changed(EXAMPLE_RULE, (_COMPLETE, logic))


CHECKS = (
    Check(
        code="R100",
        title=Text(zh="主张文件有误", en="A file of claims is wrong"),
        why=Text(
            zh="主张写在模块旁边的 .claims.yaml 文件中，每条有自己的编号。",
            en="Claims are next to their module, in a file that ends in .claims.yaml; each has an id of its own.",
        ),
        bad=changed(EXAMPLE_CLAIMS, ("best: high", "best: basic")),
        good=EXAMPLE_CLAIMS,
        file="claims",
    ),
    Check(
        code="R101",
        title=Text(zh="主张的写法不当", en="A claim has the wrong form"),
        why=Text(
            zh="一条主张只说一件事，并写明永远不会怎样。",
            en="A claim says one thing, and what must never come of it.",
        ),
        bad=changed(EXAMPLE_CLAIMS, ("never: different", "never: lower")),
        good=EXAMPLE_CLAIMS,
        file="claims",
    ),
    Check(
        code="R102",
        title=Text(zh="主张中的事实有误", en="A claim names a wrong fact"),
        why=Text(
            zh="`more` 和 `less` 写一个数或时长，`earlier` 和 `later` 写一个时刻，`adding` 写一个列表。",
            en="`more` and `less` name a number or a duration, `earlier` and `later` an instant, `adding` a list.",
        ),
        bad=changed(EXAMPLE_CLAIMS, ("facts.income_fen", "facts.incme_fen")),
        good=EXAMPLE_CLAIMS,
        file="claims",
    ),
    Check(
        code="R103",
        title=Text(zh="主张中的条件有误", en="A condition in a claim is wrong"),
        why=Text(
            zh="条件用规则语言书写，可以使用 facts、now、old 和 new。",
            en="It is written in the rule language and may use `facts`, `now`, `old` and `new`.",
        ),
        bad=changed(_ALWAYS, ("facts.age", "facts.aeg")),
        good=_ALWAYS,
        file="claims",
    ),
    Check(
        code="R105",
        title=Text(zh="主张不成立", en="A claim does not hold"),
        why=Text(
            zh="证明器找到了最小的反例：规则或主张有一处要改。",
            en="The prover found the smallest counterexample: change the rules or the claim.",
        ),
        bad=changed(_ALWAYS, ("facts.age >= 70", "facts.age >= 75")),
        good=_ALWAYS,
        file="claims",
        proved=True,
    ),
    Check(
        code="R106",
        title=Text(zh="注明不成立的主张已经成立", en="A claim that is said to fail holds"),
        why=Text(
            zh="`fails` 说明为什么暂不成立；成立之后应删去。",
            en="`fails` says why a claim does not hold for now; remove it once it does.",
        ),
        bad=changed(EXAMPLE_CLAIMS, (_CLAIM, f"{_CLAIM}    fails: the order is being revised\n")),
        good=EXAMPLE_CLAIMS,
        file="claims",
        proved=True,
    ),
    Check(
        code="R107",
        title=Text(zh="无法判断主张是否成立", en="It is unknown whether a claim holds"),
        why=Text(
            zh="证明器不认识其中的一部分，或时间不够；结果写明略去了什么。",
            en="The prover does not know a part of it, or the time was over; the answer says what was left out.",
        ),
        bad=changed(_ALWAYS, ("facts.age >= 70", "facts.name.size() > 3")),
        good=_ALWAYS,
        file="claims",
        proved=True,
    ),
    Check(
        code="R108",
        title=Text(zh="已证明规则永远不会成立", en="It is proved that a rule can never fire"),
        why=Text(
            zh="对任何人、任何时刻都不成立：条件或日期有误。",
            en="It fires for nobody at any instant: its condition or its dates are wrong.",
        ),
        bad=with_condition("facts.income_fen > 3 * facts.income_fen + facts.age"),
        good=EXAMPLE,
        proved=True,
    ),
    Check(
        code="R109",
        title=Text(zh="已证明规则永远不能决定结果", en="It is proved that a rule never decides"),
        why=Text(
            zh="每次都有其他规则优先：检查顺序或条件。",
            en="Other rules always come first: look at the order or the condition.",
        ),
        bad=with_condition("facts.age >= 90"),
        good=EXAMPLE,
        proved=True,
    ),
    Check(
        code="R120",
        title=Text(zh="不是该语言的文件", en="A file is not of its language"),
        why=Text(
            zh="要导入的文件不是 CertLogic 规则或 CEL 策略。",
            en="The file to import is neither a CertLogic rule nor a CEL policy.",
        ),
        bad=changed(EXAMPLE_RULE, (_COMPLETE, '{"or": [true, false]}')),
        good=EXAMPLE_RULE,
        file="certlogic",
    ),
    Check(
        code="R121",
        title=Text(zh="另一种语言没有这种写法", en="The other language cannot say this"),
        why=Text(
            zh="导入和导出不会改变意思；不能表达的部分指明位置后拒绝。",
            en="Import and export never change the meaning; what cannot be expressed is refused at its place.",
        ),
        bad=changed(EXAMPLE_RULE, (_COMPLETE, '{"===": [{"extractFromUVCI": [{"var": "payload.v.0.ci"}, 1]}, "x"]}')),
        good=EXAMPLE_RULE,
        file="certlogic",
    ),
    Check(
        code="R122",
        title=Text(zh="按月或按年推算当前时间", en="Months or years are counted from the present"),
        why=Text(
            zh="各月长短不同，这样的结论何时改变算不出来；请改用天数或年龄。",
            en="Months differ in length, so that the instant of change is unknown; use days, or an age.",
        ),
        bad=_after("dt", '{"var": "external.validationClock"}, -18, "year"'),
        good=_after("dt", '{"var": "external.validationClock"}, -180, "day"'),
        file="certlogic",
    ),
    Check(
        code="R123",
        title=Text(zh="缺少引用的列表", en="A list that is referred to is missing"),
        why=Text(
            zh="规则引用的列表须随文件给出：`chengma rules import --value-sets`。",
            en="Lists that a rule refers to are given with it: `chengma rules import --value-sets`.",
        ),
        bad=changed(EXAMPLE_RULE, ("valueSets.vaccines", "valueSets.vaccine")),
        good=EXAMPLE_RULE,
        file="certlogic",
    ),
    Check(
        code="R124",
        title=Text(zh="类型不明确", en="A type is unclear"),
        why=Text(
            zh="同一项既当文本又当日期使用，无法成为一项事实。",
            en="What is used both as a text and as a date cannot become a fact.",
        ),
        bad=_after("mp", '{"var": "payload.v.0.mp"}, 1, "day"'),
        good=EXAMPLE_RULE,
        file="certlogic",
    ),
)
"""R100 to R109 and R120 to R124."""
