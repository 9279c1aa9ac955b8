"""An explanation for machines: the JSON of `chengma rules explain --json` and of the citizens' routes."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from msgspec import Struct

from backend.i18n import Text
from backend.rulebook import Verdict
from backend.rulebook.explanation.candidates import Candidate
from backend.rulebook.explanation.explanation import Explanation, Figure, OtherRule
from backend.rulebook.explanation.values import display
from backend.rulebook.explanation.way_out import By, Kind, Way, WayOut
from backend.rulebook.language.explainer import Failure, Step

Scalar = str | int | float | bool | None
"""A value in JSON; instants and durations are texts in RFC 3339 and as authors write them."""


class LaterVerdict(Struct, frozen=True, gc=False):
    """A verdict from an instant on."""

    at: datetime
    result: str | int | tuple[str, ...]
    rule: str
    because: Text


class ActDetails(Struct, frozen=True, gc=False):
    """One change of the facts: what is done, by whom, and the fields that it sets.

    `field` is the field of the facts, `element` the number of the element of a list, from 0, `before` the former value,
    `at` the earliest instant, and `days` the number of days of a daily duty.
    """

    what: Text
    by: By
    field: str
    element: int | None
    values: dict[str, Scalar]
    before: Scalar
    at: datetime | None
    days: int | None


class WayDetails(Struct, frozen=True, gc=False):
    """Acts that together lead to a better result, from the instant `then.at` at the earliest."""

    acts: list[ActDetails]
    then: LaterVerdict


class WayOutDetails(Struct, frozen=True, gc=False):
    """The smallest way to a better result.

    `kind` is `best` if no result is better; `change` if the `ways` lead to one before time alone does; `time` if only
    time does; `nothing` if neither does; `unknown` if no set of up to `searched` changes does, and larger ones are not
    excluded. `ways` have the fewest acts, and with as many the earliest instant; `sooner` have more acts and an earlier
    one. `waiting` is the better verdict that comes without any act. `proved` says that no smaller way exists.
    """

    kind: Kind
    by: By | None
    ways: list[WayDetails]
    sooner: list[WayDetails]
    waiting: LaterVerdict | None
    searched: int
    proved: bool


class StepDetails(Struct, frozen=True):
    """An expression, its value, and the steps by which it was computed."""

    text: str
    value: Any
    steps: list["StepDetails"]


class ExplanationDetails(Struct, frozen=True):
    """Everything that is known about a verdict: see `Explanation`.

    `figure` is the parameter that the result comes from, None if the rule states the result itself.
    """

    module: str
    title: Text
    strategy: str
    at: datetime
    result: Any
    rule: str
    because: Text
    remedy: Text | None
    source: str
    figure: Figure | None
    fired: tuple[str, ...]
    changes_at: datetime | None
    rulebook: str
    decisive: StepDetails | None
    others: list[OtherRule]
    upcoming: list[LaterVerdict]
    way_out: WayOutDetails | None


def explanation_details(explanation: Explanation) -> ExplanationDetails:
    """Return an explanation for machines."""
    verdict = explanation.verdict
    return ExplanationDetails(
        module=explanation.module,
        title=explanation.title,
        strategy=explanation.strategy,
        at=verdict.at,
        result=verdict.result,
        rule=verdict.rule,
        because=verdict.because,
        remedy=verdict.remedy,
        source=explanation.source,
        figure=explanation.figures.get(str(explanation.then)),
        fired=verdict.fired,
        changes_at=verdict.changes_at,
        rulebook=verdict.rulebook,
        decisive=explanation.decisive and _step(explanation.decisive),
        others=explanation.others,
        upcoming=[later_verdict(one) for one in explanation.upcoming],
        way_out=explanation.way_out and way_out_details(explanation.way_out),
    )


def later_verdict(verdict: Verdict) -> LaterVerdict:
    """Return what is shown of a verdict that begins later."""
    return LaterVerdict(verdict.at, verdict.result, verdict.rule, verdict.because)


def way_out_details(found: WayOut) -> WayOutDetails:
    """Return a way out for machines."""
    return WayOutDetails(
        kind=found.kind,
        by=found.by,
        ways=[_way(way) for way in found.ways],
        sooner=[_way(way) for way in found.sooner],
        waiting=found.waiting and later_verdict(found.waiting),
        searched=found.searched,
        proved=found.proved,
    )


def _way(way: Way) -> WayDetails:
    return WayDetails([_act(candidate) for candidate in way.changes], later_verdict(way.verdict))


def _act(candidate: Candidate) -> ActDetails:
    change = candidate.change
    values = {name: _scalar(value) for name, value in candidate.values}
    return ActDetails(
        change.what,
        change.by,
        change.path,
        candidate.element,
        values,
        _scalar(candidate.before),
        candidate.at,
        candidate.days or None,
    )


def _step(step: Step) -> StepDetails:
    value = {"fails": step.value.reason} if isinstance(step.value, Failure) else step.value
    return StepDetails(" ".join(step.text.split()), value, [_step(inner) for inner in step.steps])


def _scalar(value: Any) -> Scalar:  # noqa: ANN401  a value of the facts
    match value:
        case None | bool() | int() | float() | str():
            return value
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
        case _:
            return display(value, ZoneInfo("UTC"))
