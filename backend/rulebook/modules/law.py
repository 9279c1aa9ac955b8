"""Which articles of its orders a module encodes, and which it leaves out and why."""

from collections.abc import Iterator
from typing import Literal

from msgspec import Struct

from backend.i18n import Text
from backend.rulebook.modules.module import Article, Module, Order
from backend.rulebook.source import SourceFile

State = Literal["encoded", "partly", "not_encoded"]


class ArticleCoverage(Struct, frozen=True):
    """An article, and the rules and parameters that encode it, in the order of the file.

    An article that is encoded can give a reason all the same: for the part that is left out.
    """

    article: Article
    rules: tuple[str, ...]
    parameters: tuple[str, ...]

    @property
    def state(self) -> State:
        """Return whether rules or parameters encode the article, all of it or a part."""
        if not self.rules and not self.parameters:
            return "not_encoded"
        return "encoded" if self.article.not_encoded is None else "partly"


def cover_articles(module: Module, order: Order) -> list[ArticleCoverage]:
    """Return what encodes each article of an order, in the order of the articles."""
    return [
        ArticleCoverage(
            article,
            tuple(rule.id for rule in module.rules if article.id in rule.articles),
            tuple(
                name
                for name, parameter in module.parameters.items()
                if any(article.id in value.articles for value in parameter.values)
            ),
        )
        for article in order.articles
    ]


def check_articles(module: Module, file: SourceFile) -> None:
    """Add a fault for each article that nothing encodes and that gives no reason."""
    for each in _all(module):
        if each.state == "not_encoded" and each.article.not_encoded is None:
            message = Text(
                zh=f"没有规则或参数写入条文“{each.article.id}”，也没有说明理由",
                en=f"no rule or parameter encodes the article {each.article.id!r}, and no reason is given",
            )
            advice = Text(
                zh=f"请在规则中写 `article: {each.article.id}`，或以 `not_encoded` 说明理由",
                en=f"write `article: {each.article.id}` in its rule, or the reason as `not_encoded`",
            )
            file.fault(each.article.location, message, advice, "R111")


def _all(module: Module) -> Iterator[ArticleCoverage]:
    for order in module.orders:
        yield from cover_articles(module, order)
