"""The articles of the orders as `chengma rules coverage --law` prints them: what encodes each, or why nothing does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from backend.cli.language import language
from backend.i18n import Text
from backend.rulebook.modules.law import ArticleCoverage, cover_articles

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from backend.rulebook.modules.module import Module, Order

_NO_ARTICLES = Text(zh="没有列出条文", en="names no articles")
_COUNT = Text(
    zh="{total}条：写入{encoded}条，部分写入{partly}条，未写入{not_encoded}条",
    en="{total} articles: {encoded} encoded, {partly} in part, {not_encoded} not encoded",
)
_RULES = Text(zh="规则 {names}", en="rules {names}")
_PARAMETERS = Text(zh="参数 {names}", en="parameters {names}")
_NOT_ENCODED = Text(zh="未写入：{reason}", en="not encoded: {reason}")
_IN_PART = Text(zh="其余未写入：{reason}", en="the rest is not encoded: {reason}")
_UNEXPLAINED = Text(zh="未写入，没有说明理由", en="not encoded, and no reason is given")


def printed_law(modules: Sequence[Module]) -> str:
    """Return each article with the rules and parameters that encode it, and the reason for what is left out."""
    return "\n".join(line for module in modules for line in _lines(module))


def law_document(modules: Sequence[Module]) -> str:
    """Return the same as JSON: a list of the orders of each module."""
    return msgspec.json.encode(
        {module.name: [_document(module, order) for order in module.orders] for module in modules}
    ).decode()


def _lines(module: Module) -> Iterator[str]:
    if not module.orders:
        yield f"{module.name}: {_say(_NO_ARTICLES)}"
        return
    yield f"{module.name}"
    for order in module.orders:
        covered = cover_articles(module, order)
        states = [one.state for one in covered]
        yield f"  {order.name}  {_say(order.title)}"
        yield f"    {_say(_count(states))}"
        yield f"    {order.source}"
        for one in covered:
            yield f"    {one.article.id}  {_say(one.article.title)}"
            yield from (f"      {_say(part)}" for part in _parts(one))


def _count(states: Sequence[str]) -> Text:
    """Return how many articles of an order are encoded, in words."""
    counts = {state: states.count(state) for state in ("encoded", "partly", "not_encoded")}
    zh, en = (text.format(total=len(states), **counts) for text in (_COUNT.zh, _COUNT.en))
    return Text(zh=zh, en=en)


def _parts(one: ArticleCoverage) -> Iterator[Text]:
    for words, names in ((_RULES, one.rules), (_PARAMETERS, one.parameters)):
        if names:
            yield Text(zh=words.zh.format(names="、".join(names)), en=words.en.format(names=", ".join(names)))
    reason = one.article.not_encoded
    if reason is not None:
        words = _NOT_ENCODED if one.state == "not_encoded" else _IN_PART
        yield Text(zh=words.zh.format(reason=reason.zh), en=words.en.format(reason=reason.en))
    elif one.state == "not_encoded":
        yield _UNEXPLAINED


def _document(module: Module, order: Order) -> dict[str, object]:
    return {
        "order": order.name,
        "title": order.title,
        "source": order.source,
        "articles": [
            {
                "article": one.article.id,
                "title": one.article.title,
                "state": one.state,
                "rules": one.rules,
                "parameters": one.parameters,
                "not_encoded": one.article.not_encoded,
            }
            for one in cover_articles(module, order)
        ],
    }


def _say(text: Text) -> str:
    return text.in_language(language())
