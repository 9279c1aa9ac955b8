"""How to correct a condition whose types do not fit: what the checker adds to the faults that it finds."""

from collections.abc import Mapping

from backend.i18n import Text
from backend.rulebook.language import syntax
from backend.rulebook.language.habits import canonical_instant, form_of_word
from backend.rulebook.language.tree import Constant, Node
from backend.rulebook.language.types import Type, fields_of
from backend.rulebook.source import suggest

SYMBOLS = {"_[_]": "[ ]", "_in_": "in"}
_ORDERED = ("_<_", "_<=_", "_>_", "_>=_", "_==_", "_!=_")
_DATE_LENGTH = 10

SMALLER = Text(
    zh="请换成不会出错的写法，例如用常量，或用范围更小的事实",
    en="write it so that it cannot, with a constant or with a fact of narrower bounds",
)
ONE_TYPE = Text(zh="请只写同一类型的值", en="write values of one type only")
EXAMPLE_OF_HAS = Text(zh="请写 `has(facts.字段名)`", en="write `has(facts.name)`")
EXAMPLE_OF_MACRO = Text(zh="请写 `facts.列表.exists(x, 条件)`", en="write `facts.list.exists(x, condition)`")


def for_name(name: str, names: Mapping[str, Type]) -> Text:
    """Return the fix for an unknown name: a field of the facts, a word of other languages, or a similar name."""
    facts = names.get("facts")
    if facts is not None and facts.struct is not None and name in fields_of(facts.struct):
        return _write(f"facts.{name}")
    words = {word for kind in _words_of(facts) for word in kind}
    if name in words:
        return Text(zh=f'文本须加引号：写 `"{name}"`', en=f'a text needs quotes: write `"{name}"`')
    return form_of_word(name) or suggest(name, names)


def _words_of(facts: Type | None) -> list[tuple[str, ...]]:
    if facts is None or facts.struct is None:
        return []
    found: list[tuple[str, ...]] = []
    for field in fields_of(facts.struct).values():
        element = field.type.element or field.type
        found += _words_of(element) if element.struct is not None else [element.words or ()]
    return found


def for_field(operand: Type, field: str) -> Text:
    """Return the fix for a field of something that has none."""
    if operand.element is not None and operand.element.struct is not None:
        return Text(
            zh=f"它是列表，请写 `.exists(x, x.{field} ...)`", en=f"it is a list: write `.exists(x, x.{field} ...)`"
        )
    return Text(zh=f"请删去 `.{field}`", en=f"remove `.{field}`")


def for_truth(found: Type) -> Text:
    """Return the fix for a value in the place of a condition."""
    if found.kind == "list":
        return Text(zh="请写 `size(...) > 0` 或 `.exists(x, ...)`", en="write `size(...) > 0` or `.exists(x, ...)`")
    return Text(zh="请把它与一个值比较，例如 `>= 1`", en="compare it with a value, such as `>= 1`")


def no_operation(node: syntax.Call, arguments: tuple[Node, ...]) -> tuple[Text, Text, str]:
    """Return the message, the fix and the code for an operator or function that these types do not have."""
    kinds = [argument.type for argument in arguments]
    name = SYMBOLS.get(node.function, node.function.strip("_"))
    first = node.arguments[0] if node.arguments else None
    if node.function in _ORDERED and isinstance(first, syntax.Call) and first.function in _ORDERED:
        return (
            Text(zh="比较不能连写", en="comparisons cannot be chained"),
            Text(zh=f"请写 `a {first.function.strip('_')} b && b {name} c`",
                 en=f"write `a {first.function.strip('_')} b && b {name} c`"),
            "R033",
        )  # fmt: skip
    message = Text(
        zh=f"`{name}` 不能用于{'和'.join(kind.text.zh.strip() for kind in kinds) or '空括号'}",
        en=f"`{name}` is not defined for {' and '.join(map(str, kinds)) or 'no arguments'}",
    )
    if len(arguments) == 2:  # noqa: PLR2004  an operator has two sides
        for one, other in (arguments, arguments[::-1]):
            advice = _for_pair(one, other)
            if advice is not None:
                return message, advice, "R038"
    if node.function == "!_":
        advice = Text(
            zh="`!` 只否定紧跟其后的部分，请加括号：`!(...)`", en="`!` negates what follows at once: write `!(...)`"
        )
        return message, advice, "R038"
    if node.function == "age":
        form = "age(facts.born_at, now)"
        advice = Text(
            zh=f"`age` 须有两个时刻，从何时起、到何时止：写 `{form}`",
            en=f"`age` takes two instants, since when and at what time: write `{form}`",
        )
        return message, advice, "R038"
    advice = Text(
        zh="两边应为同一类型；可用 int()、double()、string() 转换",
        en="both sides must be of one type; convert with int(), double() or string()",
    )
    return message, advice, "R038"


def _for_pair(one: Node, other: Node) -> Text | None:
    """Return the fix if `other` is written as another type than `one` needs."""
    kinds, value = (one.type.kind, other.type.kind), other.value if isinstance(other, Constant) else None
    if kinds == ("timestamp", "string"):
        text = value if isinstance(value, str) and len(value) > _DATE_LENGTH else _midnight(value)
        return _write(f'timestamp("{text}")')
    if kinds == ("timestamp", "int"):
        form = 'timestamp("2026-01-01T00:00:00+08:00")'
        return Text(zh=f"日期写作 `{form}`", en=f"a date is written `{form}`")
    if kinds[0] == "duration" and kinds[1] in ("int", "string"):
        return Text(
            zh='时长要带单位：参数写 14d，条件里写 `duration("336h")`',
            en='a duration has its unit: 14d in a parameter, `duration("336h")` in a condition',
        )
    if kinds in (("int", "string"), ("double", "string")):
        return Text(zh="数字不加引号", en="write the number without quotes")
    if kinds == ("string", "int"):
        return Text(zh="文本要加引号", en="write the text in quotes")
    if kinds == ("bool", "string"):
        return Text(zh="是与否写作 true 和 false，不加引号", en="write true or false, without quotes")
    if one.type.kind == "list" and other.type.kind != "list":
        return Text(zh="判断是否在列表中，请用 `in`", en="test with `in` whether the list has it")
    return None


def _midnight(value: object) -> str:
    try:
        parts = [int(part) for part in str(value).replace("/", "-").replace(".", "-").split("-")]
        instant = canonical_instant(*parts[:3])
    except (TypeError, ValueError):
        instant = None
    return instant or "2026-01-01T00:00:00+08:00"


def _write(form: str) -> Text:
    return Text(zh=f"请写 `{form}`", en=f"write `{form}`")
