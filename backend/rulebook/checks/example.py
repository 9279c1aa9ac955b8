"""The module that the examples of the catalogue change, its cases, its claims and its facts."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta, Struct

from backend.i18n import Text


class Stay(Struct, frozen=True):
    """A stay at an address."""

    kind: Literal["owner", "tenant"]
    since: datetime
    until: datetime | None = None


class Resident(Struct, frozen=True):
    """A person who may get a subsidy: the facts of the examples."""

    age: Annotated[int, Meta(ge=0, le=150)]
    disabled: bool = False
    home: Literal["east", "west"] | None = None
    income_fen: Annotated[int, Meta(ge=0, le=10**12)] = 0
    share: float = 0.0
    name: str = ""
    stays: tuple[Stay, ...] = ()


class PayoutTerms(Struct, frozen=True):
    """How a subsidy is paid out."""

    first_day: int = 1
    last_day: int = 28
    replaces: str | None = None
    times: int = 1
    waits: timedelta = timedelta()

    def __post_init__(self) -> None:
        """Raise ValueError if the days are the wrong way round."""
        if self.first_day > self.last_day:
            raise ValueError("first_day is after last_day")

    def without_effect(self) -> Iterator[tuple[str, Text, Text]]:
        """Yield the wait for a second payout if there is only one."""
        if self.waits and self.times == 1:
            message = Text(zh="`waits` 不起作用：只发放一次", en="`waits` has no effect: it is paid out once")
            yield "waits", message, Text(zh="请写明 `times`，或删去 `waits`", en="write `times`, or remove `waits`")

    def references(self) -> tuple[str, ...]:
        """Return the modules that the terms name."""
        return (self.replaces,) if self.replaces is not None else ()


class Applicant(Struct, frozen=True):
    """A person whose subsidy has terms of its payout."""

    age: Annotated[int, Meta(ge=0, le=150)]
    terms: ClassVar[Any] = PayoutTerms


EXAMPLE = """\
module: subsidy.old_age
title: {zh: 高龄津贴, en: Old-age subsidy}
facts: Resident
result: [none, basic, high]
strategy: most_severe
parameters:
  high_age:
    - {from: 2020-01-01, value: 80, source: "[V] order 1"}
rules:
  - id: old
    from: 2020-01-01
    when: facts.age >= 70
    then: basic
    because: {zh: 年满70周岁, en: You are 70 or older}
    source: "[V] order 1"
  - id: very-old
    from: 2020-01-01
    when: facts.age >= high_age
    then: high
    because: {zh: 年满80周岁, en: You are 80 or older}
    source: "[V] order 1"
otherwise: {then: none, because: {zh: 未满70周岁, en: You are younger than 70}}
"""

EXAMPLE_CASES = """\
module: subsidy.old_age
cases:
  - case: at seventy one gets the basic subsidy
    at: 2021-06-01T12:00:00+08:00
    given: {age: 70}
    expect: basic
  - case: at sixty-nine one gets none
    at: 2021-06-01T12:00:00+08:00
    given: {age: 69}
    expect: none
  - case: at eighty one gets the high subsidy
    at: 2021-06-01T12:00:00+08:00
    given: {age: 80}
    expect: high
  - case: before the order there is no subsidy
    at: 2019-12-31T23:59:59+08:00
    given: {age: 80}
    expect: none
  - case: the order takes effect at midnight
    at: 2020-01-01T00:00:00+08:00
    given: {age: 80}
    expect: high
"""

EXAMPLE_CLAIMS = """\
module: subsidy.old_age
best: high
claims:
  - id: income-never-matters
    name: {zh: 收入高低不影响津贴, en: A lower income never changes the subsidy}
    less: facts.income_fen
    never: different
    source: "[V] order 1"
"""

EXAMPLE_RULE = """\
{
  "Identifier": "VR-ZZ-0001",
  "Version": "1.0.0",
  "Engine": "CERTLOGIC",
  "Description": [{"lang": "en", "desc": "The course of doses is complete"}],
  "ValidFrom": "2021-07-01T00:00:00Z",
  "ValidTo": "2022-07-01T00:00:00Z",
  "Logic": {"and": [
    {">=": [{"var": "payload.v.0.dn"}, {"var": "payload.v.0.sd"}]},
    {"in": [{"var": "payload.v.0.mp"}, {"var": "external.valueSets.vaccines"}]}
  ]}
}
"""

VALUE_SETS = {"vaccines": ["EU/1/20/1528", "EU/1/20/1507"]}
"""The lists that are given with the example of a CertLogic rule."""


def changed(text: str, *replacements: tuple[str, str]) -> str:
    """Return a text with each of these parts replaced once."""
    for old, new in replacements:
        assert old in text, old
        text = text.replace(old, new, 1)
    return text


def with_condition(condition: str) -> str:
    """Return the example with another condition of its first rule."""
    return changed(EXAMPLE, ("when: facts.age >= 70\n", f"when: {condition}\n"))


def with_rule(name: str, since: str, when: str, then: str, text: str = EXAMPLE) -> str:
    """Return the example with a further rule after the first."""
    rule = (
        f"  - id: {name}\n    from: {since}\n    when: {when}\n    then: {then}\n"
        '    because: {zh: 符合条件, en: You qualify}\n    source: "[V] order 2"\n'
    )
    return changed(text, ("  - id: very-old\n", f"{rule}  - id: very-old\n"))
