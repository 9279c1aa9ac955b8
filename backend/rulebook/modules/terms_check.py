"""Checks of the terms of a module: durations that are too short to be meant, and fields without effect."""

import re
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import cast

from msgspec import Struct

from backend.i18n import Text
from backend.rulebook.modules.module import Module
from backend.rulebook.modules.module_document import module_document
from backend.rulebook.modules.yaml_document import YamlEntry, YamlMapping, YamlSequence, YamlValue
from backend.rulebook.source import SourceFile

_DAY = timedelta(days=1)
_MINUTES = re.compile(r"(\d{1,4})m")
_DAYS_OF_MONTH = 30


def check_terms(module: Module, file: SourceFile) -> None:
    """Add a fault for each duration under a day in the terms, and each field that has no effect.

    The Struct of the terms says in `without_effect()` which fields have none: names with a message and a fix.
    """
    root = module_document(file)
    listed = root.entries["terms"].value if isinstance(root, YamlMapping) and "terms" in root.entries else None
    for dated, item in zip(module.terms, listed.items if isinstance(listed, YamlSequence) else (), strict=True):
        for entry, span in _spans(dated.value, item):
            message = Text(zh=f"“{entry.key}”短于一天", en=f"{entry.key!r} is shorter than a day")
            file.fault(entry.value.location, message, _longer(entry, span), "R088")
        found: Iterable[tuple[str, Text, Text]] = getattr(dated.value, "without_effect", tuple)()
        for name, message, advice in found:
            assert isinstance(item, YamlMapping), "the terms were read from this item"
            file.fault(item.entries[name].location, message, advice, "R089")


def _spans(value: object, written: YamlValue) -> Iterator[tuple[YamlEntry, timedelta]]:
    """Yield each duration between zero and a day in a Struct, with the entry that states it."""
    if isinstance(value, tuple) and isinstance(written, YamlSequence):
        for one, item in zip(cast("tuple[object, ...]", value), written.items, strict=True):
            yield from _spans(one, item)
    if not isinstance(value, Struct) or not isinstance(written, YamlMapping):
        return
    for entry in written.entries.values():
        held: object = getattr(value, entry.key, None)
        if isinstance(held, timedelta) and timedelta() < held < _DAY:
            yield entry, held
        else:
            yield from _spans(held, entry.value)


def _longer(entry: YamlEntry, span: timedelta) -> Text:
    """Return how to write what was probably meant: `1m` is a minute, and a month is 30d."""
    minutes = _MINUTES.fullmatch(getattr(entry.value, "text", ""))
    if minutes is None:
        return Text(zh="请写整天，如 1d、30d 或 365d", en="write whole days, such as 1d, 30d or 365d")
    number = span // timedelta(minutes=1)
    days = f"{number * _DAYS_OF_MONTH}d"
    return Text(
        zh=f"m 是分钟；{number}个月写作 `{days}`",
        en=f"m means minutes: write `{days}` for {number} month{'' if number == 1 else 's'}",
    )
