"""The terms of an offer, as a rule module states them, and the time limits of claims. Amounts are in fen."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct

from backend.i18n import Text

MAX_FEN = 10**13
Fen = Annotated[int, Meta(ge=0, le=MAX_FEN)]
Percent = Annotated[int, Meta(ge=1, le=100)]
SubjectKind = Literal["person", "firm"]
AfterWithdrawal = Literal["stop", "go_on"]

Term = Literal["audit_days", "appeal_days", "repay_days", "instalment_hours", "payout_tries", "card_wait_days"]
Terms = Callable[[Term], int]
"""Returns a time limit of claims or of a new bank card, or the number of payout attempts, as the rules define it."""


class Instalment(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """A share of an amount. A service defines in a subclass when it is due."""

    percent: Percent

    @property
    def milestone(self) -> int:
        """Return the progress of a claim from which the instalment is due; 0: at once."""
        return 0


class Exclusion(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """A benefit that excludes this one, if both are claimed `within` this time of each other, or ever."""

    benefit: str
    within: timedelta | None = None


class Deduction(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """A percentage of an amount in the facts."""

    percent: Percent
    of: str


class Base(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """The amount in the facts that a benefit is a share of, or is limited to, after subtracting `less`."""

    of: str
    less: Deduction | None = None


class OfferTerms(Struct, frozen=True, gc=False, kw_only=True, forbid_unknown_fields=True):
    """How a benefit is carried out while these terms are in force; its rules decide who is entitled to it.

    `subject` is who may have it.

    For money, `amount` is the meaning of the rules' figure: `fixed`, the amount in fen; `share`, a percentage of
    `base`; `up_to`, the limit of `base` in fen. It is paid in `instalments`, or all at once; `after_withdrawal` decides
    about open instalments when what entitled the subject is withdrawn. `budget_fen` and `quota` limit the claims of a
    calendar year.

    A subject may claim it `times_at_most` times, once by default, each at least `cooldown` after the last; `excludes`
    are benefits that cannot be combined with it.

    A service defines in a subclass the prefix of its rule modules, the amounts in its facts, and what comes in the
    order of its milestones.
    """

    module_prefix: ClassVar[str]
    milestones: ClassVar[str] = "a higher milestone"

    subject: SubjectKind
    gives: Literal["money", "service"]
    amount: Literal["fixed", "share", "up_to"] = "fixed"
    base: Base | None = None
    instalments: tuple[Instalment, ...] = ()
    after_withdrawal: AfterWithdrawal = "go_on"
    budget_fen: Annotated[int, Meta(ge=0, le=10**15)] | None = None
    quota: Annotated[int, Meta(ge=1, le=10**9)] | None = None
    times_at_most: Annotated[int, Meta(ge=1, le=100)] = 1
    cooldown: timedelta = timedelta()
    excludes: tuple[Exclusion, ...] = ()

    def __post_init__(self) -> None:
        """Refuse contradictory terms."""
        for wrong in self.contradictions():
            raise ValueError(wrong)

    @classmethod
    def amounts(cls) -> set[str]:
        """Return the names of the amounts in the facts."""
        return set()

    def contradictions(self) -> Iterator[str]:
        """Yield what contradicts itself in these terms."""
        if self.instalments and (total := sum(instalment.percent for instalment in self.instalments)) != 100:  # noqa: PLR2004  percent
            yield f"the instalments add up to {total} percent, not to 100"
        milestones = [instalment.milestone for instalment in self.instalments]
        if milestones != sorted(set(milestones)):
            yield f"each instalment must be due after {self.milestones} than the one before"
        if (self.amount == "fixed") != (self.base is None):
            yield "`share` and `up_to` need a `base`; a `fixed` amount must not have one"
        for name in self.figures():
            if name not in self.amounts():
                yield f"{name!r} is not an amount in the facts: use one of {', '.join(sorted(self.amounts()))}"

    def without_effect(self) -> Iterator[tuple[str, Text, Text]]:
        """Yield the fields that change nothing beside the others, each with a message and a fix for its author."""
        if self.cooldown and self.times_at_most == 1:
            yield (
                "cooldown",
                Text(
                    zh="`cooldown` 不起作用：每人一生只能申领一次",
                    en="`cooldown` has no effect: a subject can claim this once and never again",
                ),
                Text(
                    zh="请写明 `times_at_most`（默认为1，最多100），如 `times_at_most: 20`；或删去 `cooldown`",
                    en="write `times_at_most` (1 if left out, at most 100), such as `times_at_most: 20`; "
                    "or remove `cooldown`",
                ),
            )

    def figures(self) -> Iterator[str]:
        """Yield the names of the facts that an amount is computed from."""
        if self.base is not None:
            yield self.base.of
            if self.base.less is not None:
                yield self.base.less.of

    def references(self) -> tuple[str, ...]:
        """Return the rule modules that these terms refer to."""
        return tuple(f"{self.module_prefix}{one.benefit}" for one in self.excludes)
