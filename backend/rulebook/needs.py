"""The rule modules that the code evaluates, with the facts it offers and the results it can handle.

A rulebook without one of them, or with other words, would fail at the first request that needs it. So no rulebook is
checked, published or used before `check_needs` has passed.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import PurePath

from msgspec import Struct

from backend.rulebook import Rulebook
from backend.rulebook.modules.module import Module
from backend.rulebook.source import Fault, InvalidRulebook, Location, as_text

NUMBERS = (0, 2**53 - 1)
"""The whole numbers that are not negative and that JSON clients read exactly."""


class RuleModule(Struct, frozen=True):
    """A rule module that a service evaluates on `facts`.

    `results` are the words that the service knows, mildest first, or the bounds of the numbers that it can handle; None
    allows all words. With `collects`, a verdict has several words. A `name` with a `*` stands for all modules of that
    form; there may be none. A module may extend the facts by its own declarations (modules.declared_facts).
    """

    name: str
    facts: type[Struct]
    results: tuple[str | int, ...] | None = None
    collects: bool = False

    def covers(self, module: str) -> bool:
        """Return whether this is the module of that name."""
        return fnmatchcase(module, self.name)


def facts_of(needed: Iterable[RuleModule]) -> list[type[Struct]]:
    """Return the Structs that rule modules may name."""
    return list(dict.fromkeys(module.facts for module in needed))


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
                as_text(f"the module {need.name!r} is missing, which the city evaluates"),
                as_text("add the file; a rulebook is always published whole"),
            )


def _mismatches(module: Module, need: RuleModule) -> Iterator[tuple[str, str, str]]:
    """Yield the key, message and advice for each property of a module that the service cannot use."""
    if not issubclass(module.facts, need.facts):
        yield (
            "facts",
            f"{module.name!r} is evaluated on {need.facts.__name__}",
            f"write `facts: {need.facts.__name__}`, or extend them",
        )
    if (module.strategy == "collect") != need.collects:
        advice = "use `strategy: collect`" if need.collects else "use another strategy than `collect`"
        yield "strategy", f"{module.name!r} must return {'several results' if need.collects else 'one result'}", advice
    if need.results is None:
        if module.numeric:
            yield "result", f"{module.name!r} must return words", "list the words, mildest first"
    elif isinstance(need.results[0], int):
        low, high = need.results
        if not module.numeric or not low <= module.result[0] <= module.result[1] <= high:  # pyright: ignore[reportOperatorIssue]  numbers
            advice = f"result: {{at_least: {low}, at_most: {high}}}, or less"
            yield "result", f"{module.name!r} must return whole numbers from {low} to {high}", advice
    elif module.result != tuple(word for word in need.results if word in module.result):
        words = ", ".join(map(str, need.results))
        yield "result", f"the city knows only these results of {module.name!r}, in this order: {words}", f"[{words}]"


def _fault(rulebook: Rulebook, module: Module, folder: str, key: str, message: str, advice: str) -> Fault:
    lines = rulebook.texts[module.name].splitlines()
    number = next((n for n, line in enumerate(lines, 1) if re.match(rf"{key}\s*:", line)), 1)
    location = Location(number, 1, len(key))
    return Fault(_path(folder, module.name), location, as_text(message), as_text(advice), lines[number - 1])


def _path(folder: str, module: str) -> str:
    return str(PurePath(folder, *module.split(".")).with_suffix(".yaml"))
