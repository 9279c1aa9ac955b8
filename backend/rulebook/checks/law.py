"""Checks of the articles of the orders that a module names."""

from backend.i18n import Text
from backend.rulebook.checks import Check
from backend.rulebook.checks.example import EXAMPLE

_ARTICLES = """\
articles:
  order_1:
    title: {zh: 高龄津贴办法, en: Order on the old-age subsidy}
    source: "[V] order 1"
    articles:
      3:
        title: {zh: 年满70周岁的给予津贴, en: People of 70 get the subsidy}
      4:
        title: {zh: 津贴由街道发放, en: The subdistrict pays it}
        not_encoded: {zh: 由街道办理, en: The subdistrict does this}
"""
_GOOD = EXAMPLE.replace("parameters:\n", f"{_ARTICLES}parameters:\n").replace(
    'order 1"\n  - id', 'order 1"\n    article: order_1/3\n  - id'
)


def _changed(old: str, new: str) -> str:
    assert old in _GOOD, old
    return _GOOD.replace(old, new, 1)


CHECKS = (
    Check(
        code="R110",
        title=Text(zh="没有这个条文", en="An article that is not listed"),
        why=Text(
            zh="编号写错，或没有在“articles”中列出；该条会被误认为没有写成规则。",
            en="Its number is wrong, or `articles` does not list it; the article it means would seem to be left out.",
        ),
        bad=_changed("article: order_1/3", "article: [order_1/3, order_1/33]"),
        good=_GOOD,
    ),
    Check(
        code="R111",
        title=Text(zh="条文没有写成规则，也没有说明理由", en="An article that nothing encodes, without a reason"),
        why=Text(
            zh="遗漏的条文与有意不写的条文无法区分。",
            en="Nobody could tell an article that was forgotten from one that was left out on purpose.",
        ),
        bad=_changed("        not_encoded: {zh: 由街道办理, en: The subdistrict does this}\n", ""),
        good=_GOOD,
    ),
    Check(
        code="R112",
        title=Text(zh="同一条文列了两次", en="An article that is listed twice"),
        why=Text(
            zh="其中一个多半应为另一条。",
            en="One of the two is often meant to be another article.",
        ),
        bad=_changed("article: order_1/3", "article: [order_1/3, order_1/3]"),
        good=_GOOD,
    ),
    Check(
        code="R113",
        title=Text(zh="文件名称或条文编号的写法不当", en="An order or article with a name of wrong form"),
        why=Text(
            zh="规则以“文件名称/条文编号”引用条文，因此两者只能用字母、数字等。",
            en="Rules name an article by its order and number, so both are short words without spaces.",
        ),
        bad=_changed("      4:\n", "      第四条:\n"),
        good=_GOOD,
    ),
)
"""R110 to R113."""
