"""A small rule module that stands for any: who rides the tram for less."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from msgspec import Meta, Struct

from backend.rulebook import InvalidRulebook, Rulebook, load_rulebook

CITY = ZoneInfo("Asia/Shanghai")


class Pass(Struct, frozen=True):
    """A pass that was bought."""

    kind: Literal["day", "year"]
    bought_at: datetime
    returned_at: datetime | None = None


class Rider(Struct, frozen=True):
    """Somebody who rides the tram."""

    age: Annotated[int, Meta(ge=0, le=150)]
    name: str = ""
    student: bool = False
    income: float = 0.0
    waits: timedelta = timedelta()
    home: Literal["east", "west"] | None = None
    passes: tuple[Pass, ...] = ()


FARE = """\
module: tram.fare
title: {zh: 车票, en: Fare}
facts: Rider
result: [full, half, free]
strategy: most_severe
parameters:
  lasts:
    - {from: 2020-01-01, value: 1d, source: "council"}
    - {from: 2022-01-01, value: 2d, source: "council"}
rules:
  - id: child
    from: 2020-01-01
    when: facts.age < 14
    then: half
    because: {zh: 您未满十四岁, en: You are under fourteen}
    source: "council"
  - id: day-pass
    from: 2020-01-01
    when: >-
      facts.passes.exists(p, p.kind == "day"
        && now - p.bought_at < lasts)
    then: free
    because: {zh: 您有日票, en: You have a day pass}
    source: "council"
otherwise: {then: full, because: {zh: 全价, en: Full fare}}
"""


def load(folder: Path, text: str = FARE) -> Rulebook:
    """Load a rulebook whose only module is tram.fare."""
    path = folder / "tram" / "fare.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return load_rulebook(folder, [Rider], CITY)


def faults(folder: Path, text: str) -> list[str]:
    """Give what is wrong with the module tram.fare: `line:column: message` and the help, if any."""
    try:
        load(folder, text)
    except InvalidRulebook as error:
        return [
            f"{fault.place.line}:{fault.place.column}: {fault.message}" + (f" ({fault.help})" if fault.help else "")
            for fault in error.faults
        ]
    return []


def with_rule(when: str, then: str = "half") -> str:
    """Give the module with one rule, of this condition, in line 11."""
    head, _ = FARE.split("rules:\n")
    rule = f"  - {{id: only, when: '{when}', then: {then}, because: {{zh: 甲, en: A}}, source: s, from: 2020-01-01}}\n"
    return head + "rules:\n" + rule + FARE[FARE.index("otherwise:") :]
