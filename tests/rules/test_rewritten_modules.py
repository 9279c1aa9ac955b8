"""Modules that were rewritten to read like law decide as they did: on thousands of random people, recorded before.

`rewritten_modules.json` has digests of verdicts and of texts, in groups of people, by module. An intended change of the
law is recorded again: `python -m tests.rules.test_rewritten_modules`.
"""

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from msgspec import Struct

from backend.city.service import discover_services, rule_modules_of
from backend.rulebook import Rulebook, Verdict, load_rulebook
from backend.rulebook.language.types import Field, Type, fields_of
from backend.rulebook.needs import facts_of

CITY = ZoneInfo("Asia/Shanghai")
RULES = Path(__file__).parents[2] / "rules"
RECORDED = Path(__file__).with_name("rewritten_modules.json")
GROUPS, PEOPLE = 12, 20
TICKS = [timedelta(), timedelta(microseconds=1), timedelta(microseconds=-1), timedelta(hours=7)]
SPANS = [0, 1, 2, 3, 5, 7, 8, 10, 14, 17, 21, 28, 30, 90, 180, 184, 365, 548, 730, 1095, 1826, 3650, 6574, 12784, 23741]
NUMBERS = [0, 1, 2, 3, 5, 10, 12, 15, 18, 20, 50, 90, 100, 110, 500, 550, 600, 700, 750, 999]
FEN = [100, 30_000, 100_000, 1_000_000, 10_000_000, 30_000_000, 100_000_000, 300_000_000]


@cache
def rulebook() -> Rulebook:
    return load_rulebook(RULES, facts_of(rule_modules_of(discover_services())), CITY)


def people(module: str, struct: type[Struct], group: int) -> Iterator[tuple[Struct, datetime]]:
    """Yield people with the instants at which they are judged; each is the same in every edition of the facts."""
    for number in range(PEOPLE):
        seed = f"{module}/{group}/{number}"
        day = date(2016, 1, 1) + timedelta(days=Random(seed).randrange(365 * 12))
        at = datetime(day.year, day.month, day.day, 4, 30, tzinfo=UTC)
        yield _struct(struct, seed, at), at


def _struct(struct: type[Struct], seed: str, at: datetime) -> Struct:
    drawn = {
        name: _field(one, Random(f"{seed}/{name}"), f"{seed}/{name}", at) for name, one in fields_of(struct).items()
    }
    return struct(**drawn)


def _field(field: Field, random: Random, seed: str, at: datetime) -> Any:  # noqa: ANN401  any fact
    if field.optional and random.random() < 0.3:
        return None
    return _value(field.type, random, seed, at)


def _value(kind: Type, random: Random, seed: str, at: datetime) -> Any:  # noqa: ANN401  any fact
    if kind.struct is not None:
        return _struct(kind.struct, seed, at)
    if kind.element is not None:
        return tuple(_value(kind.element, random, f"{seed}/{item}", at) for item in range(random.randrange(4)))
    if kind.words is not None:
        return random.choice(kind.words)
    match kind.kind:
        case "bool":
            return random.random() < 0.5
        case "int":
            chosen = random.choice(NUMBERS if kind.high <= 10_000 else [*NUMBERS, *FEN]) + random.choice([-1, 0, 1])
            return min(max(chosen, kind.low), kind.high)
        case "timestamp":
            return at - timedelta(days=random.choice(SPANS)) - random.choice(TICKS)
        case "duration":
            return timedelta(days=random.choice(SPANS[:14]))
        case "double":
            return random.random() * 100
        case _:
            return random.choice(["IT", "CN", "浙"])


def verdicts(module: str, group: int) -> list[Verdict]:
    book = rulebook()
    return [book.evaluate(module, facts, at) for facts, at in people(module, book.modules[module].facts, group)]


def digest(value: object) -> str:
    return hashlib.sha256(msgspec.json.encode(value)).hexdigest()[:8]


def digests(module: str) -> dict[str, list[str]]:
    found = [verdicts(module, group) for group in range(GROUPS)]
    decided = [[(one.result, one.rule, one.fired, one.changes_at) for one in group] for group in found]
    said = [[(one.because, one.remedy) for one in group] for group in found]
    days = [datetime(year, month, 15, tzinfo=CITY) for year in range(2016, 2029) for month in range(1, 13)]
    written = [[(rule.id, rule.because, rule.remedy) for rule in rulebook().in_force(module, day)] for day in days]
    return {"verdicts": list(map(digest, decided)), "texts": list(map(digest, said)), "rules": [digest(written)]}


def recorded() -> dict[str, dict[str, list[str]]]:
    return json.loads(RECORDED.read_text("utf-8"))


@pytest.mark.parametrize("module", sorted(recorded()) if RECORDED.exists() else [])
def test_a_rewritten_module_decides_and_speaks_as_before(module: str) -> None:
    assert digests(module) == recorded()[module]


if __name__ == "__main__":
    found = {module: digests(module) for module in sorted(rulebook().modules)}
    lines = ",\n".join(f'"{module}": {json.dumps(one)}' for module, one in found.items())
    RECORDED.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")
