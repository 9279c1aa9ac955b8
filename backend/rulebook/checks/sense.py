"""Checks of cases and silences, of rules that cannot decide, and of sources and texts."""

from backend.i18n import Text
from backend.rulebook.checks import Check
from backend.rulebook.checks.example import EXAMPLE, EXAMPLE_CASES, changed, with_condition

_UNIQUE = changed(EXAMPLE, ("strategy: most_severe", "strategy: unique"))
_SILENCED = changed(
    EXAMPLE, ("    when: facts.age >= 70\n", "    # silence R056: the order says so\n    when: facts.age >= 0\n")
)
_LIMIT = '  limit_fen:\n    - {from: 2020-01-01, value: 3_000 yuan, source: "[V] order 1"}\nrules:\n'
_AMOUNT = changed(
    EXAMPLE,
    ("rules:\n", _LIMIT),
    ("when: facts.age >= 70\n", "when: facts.age >= 70 && facts.income_fen < limit_fen\n"),
    ("{zh: 年满70周岁, en: You are 70 or older}", "{zh: 收入低于3000元, en: You earn less than 3000 yuan}"),
)

CHECKS = (
    Check(
        code="R045",
        title=Text(zh="案例与预期不符", en="A case fails"),
        why=Text(
            zh="规则的结论不是案例的预期：规则或案例有一处写错。",
            en="The rules decide something else than the case expects: one of them is wrong.",
        ),
        bad=changed(EXAMPLE_CASES, ("{age: 80}\n    expect: high", "{age: 80}\n    expect: basic")),
        good=EXAMPLE_CASES,
        file="cases",
    ),
    Check(
        code="R046",
        title=Text(zh="没有案例，或案例没有预期", en="Cases are missing or expect nothing"),
        why=Text(
            zh="每个模块都有案例，每个案例写明预期的结果。",
            en="Every module has cases, and every case says which result it expects.",
        ),
        bad=changed(EXAMPLE_CASES, ("expect: high", "expect: {}")),
        good=EXAMPLE_CASES,
        file="cases",
    ),
    Check(
        code="R047",
        title=Text(zh="静默有误或没有作用", en="A silence is wrong or silences nothing"),
        why=Text(
            zh="静默写明编号和理由；检查不再有发现时，静默也应删去。",
            en="A silence has a code and a reason; when the check finds nothing any more, the silence goes.",
        ),
        bad=changed(_SILENCED, ("facts.age >= 0", "facts.age >= 70")),
        good=_SILENCED,
    ),
    Check(
        code="R048",
        title=Text(zh="城市服务用不了的模块", en="The services of the city cannot use the module"),
        why=Text(
            zh="服务按约定的事实和结果使用模块；缺少模块，或结果的词和顺序不同，服务就无法运行。",
            en="A service evaluates a module on certain facts and knows its results, in their order. It cannot run "
            "without the module, or with other results.",
        ),
        bad=changed(EXAMPLE, ("[none, basic, high]", "[high, basic, none]")),
        good=EXAMPLE,
        needed=True,
    ),
    Check(
        code="R070",
        title=Text(zh="规则永远不会成立", en="A rule can never fire"),
        why=Text(
            zh="条件的各部分互相矛盾，多半是界限或符号写反。",
            en="The parts of its condition contradict each other: a bound or a sign is often the wrong way round.",
        ),
        bad=with_condition("facts.age >= 70 && facts.age < 60"),
        good=with_condition("facts.age >= 60 && facts.age < 70"),
    ),
    Check(
        code="R071",
        title=Text(zh="规则被另一条遮蔽", en="Another rule shadows a rule"),
        why=Text(
            zh="它成立时，另一条规则也总是成立，并决定结果；它没有任何作用。",
            en="Whenever it fires, another rule fires as well and decides; it has no effect.",
        ),
        bad=with_condition("facts.age >= high_age && facts.disabled"),
        good=EXAMPLE,
    ),
    Check(
        code="R072",
        title=Text(zh="`unique` 下的两条规则重叠", en="Two rules overlap under `unique`"),
        why=Text(
            zh="`unique` 表示任何人至多符合一条规则。",
            en="`unique` says that nobody meets the conditions of two rules.",
        ),
        bad=_UNIQUE,
        good=changed(_UNIQUE, ("when: facts.age >= 70\n", "when: facts.age >= 70 && facts.age < high_age\n")),
    ),
    Check(
        code="R073",
        title=Text(zh="依据没有标明可靠程度", en="A source has no mark of its reliability"),
        why=Text(
            zh="读者要知道依据是公开文件 [V]、城市说明 [S]、较弱 [W] 还是假定 [A]。",
            en="Readers want to know whether it is public [V], stated by the city [S], weak [W] or an assumption [A].",
        ),
        bad=changed(EXAMPLE, ('    source: "[V] order 1"\n', '    source: "order 1"\n')),
        good=EXAMPLE,
        silenced=True,
    ),
    Check(
        code="R074",
        title=Text(zh="文本的语言不对", en="A text is in the wrong language"),
        why=Text(
            zh="中文写在 zh 下，英文写在 en 下，英文只用 ASCII 字符。",
            en="Write Chinese as `zh` and English as `en`, in ASCII characters alone.",
        ),
        bad=changed(EXAMPLE, ("en: You are 70 or older", "en: You are 70岁 or older")),
        good=EXAMPLE,
        silenced=True,
    ),
    Check(
        code="R075",
        title=Text(zh="两种语言的金额不同", en="The amounts in the two languages differ"),
        why=Text(
            zh="中文和英文说的是同一项规定，金额应当相同；最好由参数填入。",
            en="Both texts state the same law, so the amounts must agree; best take them from a parameter.",
        ),
        bad=changed(_AMOUNT, ("less than 3000 yuan", "little")),
        good=_AMOUNT,
        silenced=True,
    ),
    Check(
        code="R076",
        title=Text(zh="案例没有覆盖某条规则", en="No case covers a rule"),
        why=Text(
            zh="每条规则应在一个案例中成立，在同一时期的另一个案例中不成立。",
            en="Every rule fires in one case and does not fire in another one of the same period.",
        ),
        bad=changed(
            EXAMPLE_CASES,
            ("{age: 80}\n    expect: high\n  - case: before", "{age: 79}\n    expect: basic\n  - case: before"),
            ("{age: 80}\n    expect: high", "{age: 79}\n    expect: basic"),
        ),
        good=EXAMPLE_CASES,
        file="cases",
    ),
    Check(
        code="R077",
        title=Text(zh="案例没有覆盖规定的变更时刻", en="No case covers a change of the law"),
        why=Text(
            zh="日期最容易写错；变更前的最后一秒和变更之时各有一个案例。",
            en="Dates are easily wrong; the last second before a change and the change itself have a case each.",
        ),
        bad=changed(EXAMPLE_CASES, ("2019-12-31T23:59:59+08:00", "2019-12-31T23:00:00+08:00")),
        good=EXAMPLE_CASES,
        file="cases",
    ),
)
"""R045 to R048 and R070 to R077."""
