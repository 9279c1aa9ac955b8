"""Reads the articles of the orders that a module encodes, and which of them a rule or a value names."""

import re
from dataclasses import dataclass, field

from backend.i18n import Text
from backend.rulebook.modules.field_reader import FieldReader
from backend.rulebook.modules.keys import ARTICLE_KEYS, OPTIONAL_ARTICLE_KEYS, ORDER_KEYS
from backend.rulebook.modules.module import Article, Order
from backend.rulebook.modules.yaml_document import YamlEntry, YamlMapping, YamlScalar, YamlSequence
from backend.rulebook.source import suggest

_ORDER = re.compile(r"[a-z][a-z0-9_]{0,63}")
_NUMBER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
_FORM = "articles: {order_2020: {title: {zh: ..., en: ...}, source: ..., articles: {1: {title: {zh: ..., en: ...}}}}}"


@dataclass
class ArticleReader(FieldReader):
    """Reads `articles`, and the `article` of rules and values; each wrong reference is a fault at its place."""

    orders: dict[str, Order] = field(default_factory=dict[str, Order], kw_only=True)
    are_articles_invalid: bool = field(default=False, kw_only=True)

    def read_articles(self, entry: YamlEntry | None) -> None:
        """Read the orders by their names, each with its articles by their numbers."""
        before = len(self.file.faults)
        for order in self._named(entry, _ORDER) if entry is not None else ():
            what = Text(zh=f"文件“{order.key}”", en=f"the order {order.key!r}")
            entries = self.entries(order.value, ORDER_KEYS, what=what)
            if entries is None:
                continue
            title, source = self.text(entries["title"]), self.short_text(entries["source"])
            read = [self._article(order.key, article) for article in self._named(entries["articles"], _NUMBER)]
            articles = tuple(article for article in read if article is not None)
            if title is not None and source is not None:
                self.orders[order.key] = Order(order.key, title, source, articles)
        self.are_articles_invalid = len(self.file.faults) > before

    def articles(self, entry: YamlEntry | None) -> tuple[str, ...]:
        """Read the articles that a rule or a value encodes: one, or a list of them."""
        if entry is None:
            return ()
        values = entry.value.items if isinstance(entry.value, YamlSequence) else [entry.value]
        known = [article.id for order in self.orders.values() for article in order.articles]
        found: list[str] = []
        for value in values:
            if not isinstance(value, YamlScalar):
                message = Text(zh="“article”是条文编号，或其列表", en="'article' is an article, or a list of them")
                advice = Text(zh="写作 article: order_2020/1", en="write article: order_2020/1")
                self.file.fault(value.location, message, advice, "R012")
            elif value.text in found:
                message = Text(zh=f"条文“{value.text}”列了两次", en=f"the article {value.text!r} is listed twice")
                self.file.fault(value.location, message, Text(zh="请删去一个", en="remove one"), "R112")
            elif value.text not in known and not self.are_articles_invalid:
                message = Text(
                    zh=f"`articles` 没有条文“{value.text}”", en=f"`articles` does not list the article {value.text!r}"
                )
                advice = suggest(value.text, known)
                if not known:
                    advice = Text(
                        zh="请在模块开头的 `articles` 中列出", en="list it in `articles` at the head of the module"
                    )
                self.file.fault(value.location, message, advice, "R110")
            else:
                found.append(value.text)
        return tuple(found)

    def _named(self, entry: YamlEntry, name: re.Pattern[str]) -> list[YamlEntry]:
        """Return the entries of a mapping whose keys are names of this form; others are faults."""
        if not isinstance(entry.value, YamlMapping) or not entry.value.entries:
            message = Text(zh="条文按文件名称和条文编号列出", en="articles are listed by their order and number")
            self.file.fault(entry.value.location, message, Text(zh=_FORM, en=_FORM), "R012")
            return []
        valid = [each for each in entry.value.entries.values() if name.fullmatch(each.key)]
        for each in entry.value.entries.values():
            if each not in valid:
                message = Text(
                    zh=f"“{each.key}”不能作文件名称或条文编号", en=f"{each.key!r} cannot name an order or article"
                )
                advice = Text(
                    zh="文件名称如 order_2020，条文编号如 3、2-1、a1",
                    en="name an order like order_2020, and an article like 3, 2-1 or a1",
                )
                self.file.fault(each.location, message, advice, "R113")
        return valid

    def _article(self, order: str, entry: YamlEntry) -> Article | None:
        what = Text(zh=f"条文“{entry.key}”", en=f"the article {entry.key!r}")
        entries = self.entries(entry.value, ARTICLE_KEYS, optional=OPTIONAL_ARTICLE_KEYS, what=what)
        if entries is None:
            return None
        title, reason = self.text(entries["title"]), self.text(entries.get("not_encoded"))
        return Article(f"{order}/{entry.key}", title, reason, entry.location) if title is not None else None
