"""Checks of what makes modules short to read: named sources, tables, figures in texts, units and declared facts."""

from backend.i18n import Text
from backend.rulebook.checks import Check
from backend.rulebook.checks.example import EXAMPLE, changed

_SOURCES = changed(
    EXAMPLE,
    ("strategy: most_severe\n", 'strategy: most_severe\nsources:\n  order_1: "[V] order 1"\n'),
    ('80, source: "[V] order 1"', "80, source: order_1"),
)
_ROWS = """\
    source: "[V] order 1"
    table:
      - {home: east, age: 70}
      - {home: west, age: 72}
  - id: very-old
"""
_TABLE = changed(
    EXAMPLE,
    ('    source: "[V] order 1"\n  - id: very-old\n', _ROWS),
    ("id: old\n", "id: old-<home>\n"),
    ("facts.age >= 70\n", "has(facts.home) && facts.home == '<home>' && facts.age >= <age>\n"),
)
_FIGURE = changed(
    EXAMPLE,
    ("{zh: 年满80周岁, en: You are 80 or older}", '{zh: "年满{high_age}周岁", en: "You are {high_age} or older"}'),
)
_LIMIT = """\
  income_limit:
    unit: yuan
    values:
      - {from: 2020-01-01, value: 3_000 yuan, source: "[V] order 1"}
rules:
"""
_INCOME = changed(
    EXAMPLE, ("rules:\n", _LIMIT), ("facts.age >= 70\n", "facts.age >= 70 && facts.income_fen < income_limit\n")
)
_AGE = "  age: {type: number, at_least: 0, at_most: 150, meaning: {zh: 年龄, en: Age in years}}\n"
_HOME = "  home: {type: words, words: [east, west], meaning: {zh: 住址, en: Part of the city}}\n"
_BORN_ON = "  born_on: {type: date, meaning: {zh: 出生日期, en: Day of birth}}\n"
_DECLARED = changed(
    EXAMPLE,
    ("facts: Resident\n", f"facts:\n{_AGE}{_HOME}"),
    ("facts.age >= 70\n", 'facts.age >= 70 && facts.home == "east"\n'),
)
_BORN = changed(
    EXAMPLE,
    ("facts: Resident\n", f"facts:\n{_AGE}{_BORN_ON}"),
    ("facts.age >= 70\n", "age(facts.born_on, now) >= 70\n"),
)

_EXTENDED = changed(_DECLARED, (f"{_AGE}  home", "  extends: Resident\n  region"), ("facts.home", "facts.region"))

CHECKS = (
    Check(
        code="R080",
        title=Text(zh="依据的列表写法不当", en="The list of sources has the wrong form"),
        why=Text(
            zh="`sources` 给常用的依据起名，每个名称一项内容，规则按名称引用。",
            en="`sources` gives names to sources that are used often, one text for each name.",
        ),
        bad=changed(
            _SOURCES,
            ('order_1: "[V] order 1"', 'Order-1: "[V] order 1"'),
            ("80, source: order_1", '80, source: "[V] order 1"'),
        ),
        good=_SOURCES,
    ),
    Check(
        code="R081",
        title=Text(zh="没有这个名称的依据", en="There is no source of this name"),
        why=Text(
            zh="不加引号的一个词是 `sources` 中的名称；依据本身写在引号中。",
            en="A single word without quotes is a name of `sources`; a source itself is in quotes.",
        ),
        bad=changed(_SOURCES, ("80, source: order_1", "80, source: order_2")),
        good=_SOURCES,
    ),
    Check(
        code="R082",
        title=Text(zh="规则表的写法不当", en="A table of rules has the wrong form"),
        why=Text(
            zh="表的每一行成为一条规则，每一列都要用到。",
            en="Every row of a table is a rule, and the rule uses every column.",
        ),
        bad=changed(_TABLE, ("age: 70}", "age: 70, district: 1}")),
        good=_TABLE,
    ),
    Check(
        code="R083",
        title=Text(zh="没有这一列", en="There is no such column"),
        why=Text(
            zh="规则中的 `<列>` 由表中同名的列填入。",
            en="A `<column>` in a rule is filled from the column of this name.",
        ),
        bad=changed(_TABLE, ("then: basic", "then: <level>")),
        good=_TABLE,
    ),
    Check(
        code="R084",
        title=Text(zh="参数的单位与值不符", en="The unit of a parameter does not fit its values"),
        why=Text(
            zh="金额写明元或分，免得差一百倍。",
            en="An amount says yuan or fen, so that it cannot be wrong by a factor of a hundred.",
        ),
        bad=changed(_INCOME, ("value: 3_000 yuan", "value: 3000")),
        good=_INCOME,
    ),
    Check(
        code="R085",
        title=Text(zh="文本中的 {参数} 有误", en="A {parameter} in a text is wrong"),
        why=Text(
            zh="文本中的数字取自参数，文本与规定就不会不一致。",
            en="Texts take figures from parameters, so that the text and the law cannot differ.",
        ),
        bad=changed(_FIGURE, ("You are {high_age}", "You are {hgih_age}")),
        good=_FIGURE,
    ),
    Check(
        code="R086",
        title=Text(zh="此处不是金额", en="An amount stands where no money is expected"),
        why=Text(
            zh="元和分只用于金额：名称以 _fen 结尾的事实，或写明 unit: yuan 的参数。",
            en="Yuan and fen are for money alone: facts whose names end in _fen, or parameters with `unit: yuan`.",
        ),
        bad=changed(EXAMPLE, ("value: 80", "value: 80 yuan")),
        good=EXAMPLE,
    ),
    Check(
        code="R087",
        title=Text(zh="年龄的用法不当", en="An age is used in a way whose change is unknown"),
        why=Text(
            zh="年龄只与一个数比较，才能算出在哪个生日改变。",
            en="An age is compared with a number, so that the birthday on which it changes is known.",
        ),
        bad=changed(_BORN, (">= 70", "* 2 >= 140")),
        good=_BORN,
    ),
    Check(
        code="R090",
        title=Text(zh="声明的事实有误", en="Declared facts are wrong"),
        why=Text(
            zh="至少声明一项，名称用小写字母、数字和 _，不与已有的重复。",
            en="At least one fact is declared; its name is of lower-case letters, digits and _, and not taken.",
        ),
        bad=changed(_DECLARED, ("  home: {type", "  Home: {type"), ("facts.home", "facts.Home")),
        good=_DECLARED,
    ),
    Check(
        code="R091",
        title=Text(zh="扩展的事实不存在", en="The facts to extend do not exist"),
        why=Text(
            zh="`extends` 写服务提供的事实名称。",
            en="`extends` names facts that a service offers.",
        ),
        bad=changed(_EXTENDED, ("extends: Resident", "extends: Residnet")),
        good=_EXTENDED,
    ),
    Check(
        code="R092",
        title=Text(zh="事实的声明与类型不符", en="The declaration of a fact does not fit its type"),
        why=Text(
            zh="数字要写最小值和最大值，词要列出全部，金额的名称以 _fen 结尾。",
            en="A number has bounds, words are listed, and the name of an amount ends in _fen.",
        ),
        bad=changed(_DECLARED, ("at_least: 0, at_most: 150, ", "at_least: 0, ")),
        good=_DECLARED,
    ),
    Check(
        code="R093",
        title=Text(zh="事实的来源不存在或类型不符", en="The origin of a fact does not exist or is of another type"),
        why=Text(
            zh="`from` 写事实从哪里来：向本人询问（person）、本人档案或登记系统。",
            en="`from` says where a fact comes from: the person is asked, or a profile or register has it.",
        ),
        bad=changed(_EXTENDED, ("{type: words, ", "{type: words, from: persn, ")),
        good=changed(_EXTENDED, ("{type: words, ", "{type: words, from: person, ")),
    ),
)
"""R080 to R093."""
