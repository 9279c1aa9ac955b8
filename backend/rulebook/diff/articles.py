"""How the articles of the orders differ between two editions of a module. They alter no verdict."""

from collections.abc import Iterator

from backend.i18n import Text
from backend.rulebook.diff.change import Change, change
from backend.rulebook.modules.module import Article, Module


def article_changes(old: Module, new: Module) -> Iterator[Change]:
    """Yield the articles that were added, removed or changed, and the orders with another title or source."""
    before, after = (_articles(module) for module in (old, new))
    for name, article in before.items():
        if name not in after:
            yield change("article_removed", name, "none", article.title, None)
    for name, article in after.items():
        if name not in before:
            yield change("article_added", name, "none", None, article.title)
        elif _content(before[name]) != _content(article):
            yield change("article", name, "none", *map(_written, (before[name], article)))
    former = {order.name: order for order in old.orders}
    for order in new.orders:
        if order.name in former and former[order.name].title != order.title:
            yield change("article", order.name, "none", former[order.name].title, order.title)
        if order.name in former and former[order.name].source != order.source:
            yield change("source", order.name, "none", former[order.name].source, order.source)


def _articles(module: Module) -> dict[str, Article]:
    return {article.id: article for order in module.orders for article in order.articles}


def _content(article: Article) -> tuple[Text, Text | None]:
    return article.title, article.not_encoded


def _written(article: Article) -> Text:
    if article.not_encoded is None:
        return article.title
    return Text(
        zh=f"{article.title.zh}（未写入：{article.not_encoded.zh}）",
        en=f"{article.title.en} (not encoded: {article.not_encoded.en})",
    )
