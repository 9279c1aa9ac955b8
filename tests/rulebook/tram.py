"""Two small rule modules for the tests: fares of a tram, and refunds for delays."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, ClassVar, Literal
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
    """A passenger of the tram."""

    age: Annotated[int, Meta(ge=0, le=150)]
    name: str = ""
    student: bool = False
    income: float = 0.0
    waits: timedelta = timedelta()
    home: Literal["east", "west"] | None = None
    passes: tuple[Pass, ...] = ()


class Part(Struct, frozen=True):
    """A part of a refund, paid some time after the ride."""

    percent: Annotated[int, Meta(ge=1, le=100)]
    after: timedelta = timedelta()

    def __post_init__(self) -> None:
        """Raise ValueError for a part that is paid too late."""
        if self.after > timedelta(days=99):
            raise ValueError("a part is paid within 99 days")


class RefundTerms(Struct, frozen=True):
    """How a refund is paid."""

    paid: Literal["cash", "card"]
    parts: tuple[Part, ...] = ()
    budget_fen: Annotated[int, Meta(ge=0, le=1_000_000)] | None = None
    by_hand: bool = False
    desk: str = ""
    combines_with: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raise ValueError if the parts do not add up to 100 percent."""
        if self.parts and (total := sum(part.percent for part in self.parts)) != 100:
            raise ValueError(f"the parts add up to {total} percent, not to 100")

    def references(self) -> tuple[str, ...]:
        """Return the modules that may be paid together with it."""
        return self.combines_with


class Delay(Struct, frozen=True):
    """A tram that came late."""

    terms: ClassVar[type[Struct]] = RefundTerms

    minutes: Annotated[int, Meta(ge=0, le=1_440)]


FARE = """\
module: tram.fare
title: {zh: 车票, en: Fare}
facts: Rider
result: [full, half, free]
strategy: most_severe
parameters:
  lasts:
    - {from: 2020-01-01, value: 1d, source: "[S] council"}
    - {from: 2022-01-01, value: 2d, source: "[S] council"}
rules:
  - id: child
    from: 2020-01-01
    when: facts.age < 14
    then: half
    because: {zh: 您未满十四岁, en: You are under fourteen}
    source: "[S] council"
  - id: day-pass
    from: 2020-01-01
    when: >-
      facts.passes.exists(p, p.kind == "day"
        && now - p.bought_at < lasts)
    then: free
    because: {zh: 您有日票, en: You have a day pass}
    source: "[S] council"
otherwise: {then: full, because: {zh: 全价, en: Full fare}}
"""

REFUND = """\
module: tram.refund
title: {zh: 晚点退款, en: Refund for delay}
facts: Delay
result: {at_least: 0, at_most: 600}
strategy: first
terms:
  - from: 2020-01-01
    paid: cash
    parts:
      - {percent: 40}
      - {percent: 60, after: 30d}
    budget_fen: 500000
    by_hand: true
    desk: East 1
    combines_with: [tram.fare]
    source: "[S] council"
  - {from: 2022-01-01, paid: card, source: "[S] council"}
parameters:
  long_delay_fen:
    - {from: 2020-01-01, value: 300 fen, source: "[S] council"}
    - {from: 2022-01-01, value: 600 fen, source: "[S] council"}
rules:
  - id: long-delay
    from: 2020-01-01
    when: facts.minutes >= 60
    then: long_delay_fen
    because: {zh: 晚点一小时以上, en: An hour late or more}
    source: "[S] council"
  - id: delay
    from: 2020-01-01
    when: facts.minutes >= 20
    then: 100
    because: {zh: 晚点二十分钟以上, en: Twenty minutes late or more}
    source: "[S] council"
otherwise: {then: 0, because: {zh: 准点, en: On time}}
"""


def load(folder: Path, text: str = FARE, **others: str) -> Rulebook:
    """Load a rulebook of the module tram.fare and of others by name, such as `refund`."""
    (folder / "tram").mkdir(exist_ok=True)
    for name, module in {"fare": text, **others}.items():
        (folder / "tram" / f"{name}.yaml").write_text(module, encoding="utf-8")
    return load_rulebook(folder, [Rider, Delay], CITY)


def faults(folder: Path, text: str = FARE, **others: str) -> list[str]:
    """Return the faults of these modules as `line:column: message (help)`."""
    try:
        load(folder, text, **others)
    except InvalidRulebook as error:
        return [
            f"{fault.location.line}:{fault.location.column}: {fault.message.en}"
            + (f" ({fault.help.en})" if fault.help.en else "")
            for fault in error.faults
        ]
    return []


def with_rule(when: str, then: str = "half") -> str:
    """Return the module with one rule, of this condition, in line 11."""
    head, _ = FARE.split("rules:\n")
    rule = f"  - {{id: only, when: '{when}', then: {then}, because: {{zh: 甲, en: A}}, source: s, from: 2020-01-01}}\n"
    return head + "rules:\n" + rule + FARE[FARE.index("otherwise:") :]
