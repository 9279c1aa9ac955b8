"""The rule modules that the code evaluates, with the facts it offers and the results it can handle.

A rulebook without one of them, or with other words, would fail at the first request that needs it. So no rulebook is
checked, published or used before `check_needs` has passed.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import PurePath
from typing import Literal

from msgspec import Struct

from backend.i18n import Text
from backend.rulebook import Rulebook
from backend.rulebook.modules.module import Module
from backend.rulebook.source import Fault, InvalidRulebook, Location

NUMBERS = (0, 2**53 - 1)
"""The whole numbers that are not negative and that JSON clients read exactly."""


class RuleModule(Struct, frozen=True):
    """A rule module that a service evaluates on `facts`.

    `results` are the words that the service knows, mildest first, or the bounds of the numbers that it can handle; None
    allows all words. With `collects`, a verdict has several words. A `name` with a `*` stands for all modules of that
    form; there may be none. A module may extend the facts by its own declarations (modules.declared_facts). `best` says
    which end of its words is the best result for a person.
    """

    name: str
    facts: type[Struct]
    results: tuple[str | int, ...] | None = None
    collects: bool = False
    best: Literal["first", "last"] = "first"

    def covers(self, module: str) -> bool:
        """Return whether this is the module of that name."""
        return fnmatchcase(module, self.name)


def facts_of(needed: Iterable[RuleModule]) -> list[type[Struct]]:
    """Return the Structs that rule modules may name."""
    return list(dict.fromkeys(module.facts for module in needed))


def best_end(module: str, needed: Iterable[RuleModule]) -> Literal["first", "last"]:
    """Return which end of a module's words is the best result; the first one, unless a service says otherwise."""
    found = next((need for need in needed if need.covers(module)), None)
    return "first" if found is None else found.best


def check_needs(rulebook: Rulebook, needed: Sequence[RuleModule], folder: str = "rules") -> None:
    """Raise InvalidRulebook if a needed module is missing, or reads or returns something else than is needed."""
    faults = [
        *_missing(rulebook, needed, folder),
        *(
            _fault(rulebook, module, folder, key, message, advice)
            for module in rulebook.modules.values()
            for need in needed
            if need.covers(module.name)
            for key, message, advice in _mismatches(module, need)
        ),
    ]
    if faults:
        raise InvalidRulebook(faults)


def _missing(rulebook: Rulebook, needed: Iterable[RuleModule], folder: str) -> Iterator[Fault]:
    for need in needed:
        if "*" not in need.name and need.name not in rulebook.modules:
            yield Fault(
                _path(folder, need.name),
                Location(1, 1),
                Text(
                    zh=f"缺少模块“{need.name}”，城市服务要用到它",
                    en=f"the module {need.name!r} is missing, which the city evaluates",
                ),
                Text(zh="请补上该文件；规则总是整套发布", en="add the file; a rulebook is always published whole"),
                code="R048",
            )


def _mismatches(module: Module, need: RuleModule) -> Iterator[tuple[str, Text, Text]]:
    """Yield the key, message and advice for each property of a module that the service cannot use."""
    if not issubclass(module.facts, need.facts):
        facts = need.facts.__name__
        message = Text(zh=f"“{module.name}”的事实应为 {facts}", en=f"{module.name!r} is evaluated on {facts}")
        advice = Text(zh=f"请写 `facts: {facts}`，或在其上扩展", en=f"write `facts: {facts}`, or extend them")
        yield "facts", message, advice
    if (module.strategy == "collect") != need.collects:
        yield "strategy", *_number_of_results(module, need)
    if need.results is None:
        if module.numeric:
            message = Text(zh=f"“{module.name}”的结果应为词", en=f"{module.name!r} must return words")
            yield "result", message, Text(zh="请列出各词，由轻到重", en="list the words, mildest first")
    elif isinstance(need.results[0], int):
        low, high = need.results
        if not module.numeric or not low <= module.result[0] <= module.result[1] <= high:  # pyright: ignore[reportOperatorIssue]  numbers
            message = Text(
                zh=f"“{module.name}”的结果应为 {low} 至 {high} 的整数",
                en=f"{module.name!r} must return whole numbers from {low} to {high}",
            )
            form = f"result: {{at_least: {low}, at_most: {high}}}"
            yield "result", message, Text(zh=f"{form}，或更小的范围", en=f"{form}, or less")
    elif module.result != tuple(word for word in need.results if word in module.result):
        words = ", ".join(map(str, need.results))
        message = Text(
            zh=f"城市服务只认得“{module.name}”的这些结果，顺序为：{words}",
            en=f"the city knows only these results of {module.name!r}, in this order: {words}",
        )
        yield "result", message, Text(zh=f"[{words}]", en=f"[{words}]")


def _number_of_results(module: Module, need: RuleModule) -> tuple[Text, Text]:
    if need.collects:
        message = Text(zh=f"“{module.name}”应有多个结果", en=f"{module.name!r} must return several results")
        return message, Text(zh="请用 `strategy: collect`", en="use `strategy: collect`")
    message = Text(zh=f"“{module.name}”应只有一个结果", en=f"{module.name!r} must return one result")
    return message, Text(zh="请改用 `collect` 以外的策略", en="use another strategy than `collect`")


def _fault(rulebook: Rulebook, module: Module, folder: str, key: str, message: Text, advice: Text) -> Fault:
    lines = rulebook.texts[module.name].splitlines()
    number = next((n for n, line in enumerate(lines, 1) if re.match(rf"{key}\s*:", line)), 1)
    location = Location(number, 1, len(key))
    return Fault(_path(folder, module.name), location, message, advice, lines[number - 1], "R048")


def _path(folder: str, module: str) -> str:
    return str(PurePath(folder, *module.split(".")).with_suffix(".yaml"))
