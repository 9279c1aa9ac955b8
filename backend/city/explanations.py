"""Explanations of a person's verdicts: computed one at a time, in a thread next to the event loop, and cached.

An explanation takes some milliseconds, and up to some tenths of a second for a long record. With one thread, other
requests wait for at most the interpreter's switch interval, and a request is refused at once if the queue is full. The
search for a way out ends after half a second.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from msgspec import Struct

from backend.city.service import City
from backend.i18n import Text
from backend.problems import Problem
from backend.rulebook import Verdict
from backend.rulebook.explanation.details import LaterVerdict, WayOutDetails, later_verdict, way_out_details
from backend.rulebook.explanation.explanation import Explanation, explain_verdict
from backend.rulebook.explanation.plain import sentences
from backend.rulebook.explanation.unknown_facts import fields_read
from backend.rulebook.needs import best_end
from backend.rulebook.verdict import ModuleEvaluator

MAX_QUEUED = 16
MAX_CACHED = 1_000
MAX_SECONDS = 0.5
"""The longest search for a way out; what was found until then is shown, and not called proved."""

CACHED_FOR = timedelta(seconds=60)


class TooManyExplanations(Problem):
    """Too many explanations are being computed; retry in a moment."""

    status, title = 503, "Too many explanations at once"


class VerdictExplanation(Struct, frozen=True, gc=False):
    """Why a module decides what it does about the caller, and the smallest way to a better result.

    `sentences` say it in the caller's language: the reason, the remedy, what to do, and when it changes without any
    act. `upcoming` are the next verdicts for unchanged facts.
    """

    module: str
    title: Text
    result: str | int | tuple[str, ...]
    rule: str
    because: Text
    remedy: Text | None
    changes_at: datetime | None
    sentences: list[str]
    upcoming: list[LaterVerdict]
    way_out: WayOutDetails
    rulebook: str


class _Cached(Struct, frozen=True):
    explanation: Explanation
    since: datetime
    until: datetime


class ExplanationWorker:
    """Computes the explanations of one process. `pending` is the number requested and not finished."""

    def __init__(self) -> None:
        self.pending = 0
        self._thread = ThreadPoolExecutor(1, "explanations")
        self._cache = OrderedDict[Any, _Cached]()

    async def explain(self, city: City, module: str, facts: Struct, at: datetime) -> Explanation:
        """Return an explanation, at most a minute old. Raises TooManyExplanations if the queue is full."""
        rulebook = city.rulebook
        names = _fields_read(rulebook.evaluator(module))
        # people whose facts are the same as far as the rules read them have the same explanation
        key = (rulebook.digest, module, tuple(getattr(facts, name) for name in names))
        cached = self._cache.get(key)
        if cached is not None and cached.since <= at < cached.until:
            self._cache.move_to_end(key)
            return cached.explanation
        if self.pending >= MAX_QUEUED:
            detail = Text(zh="系统繁忙，请稍后再试。", en="The system is busy; please try again in a moment.")
            raise TooManyExplanations(detail, headers={"Retry-After": "1"})
        best = best_end(module, city.rule_modules)

        def compute() -> Explanation:
            return explain_verdict(rulebook, module, facts, at, best=best, seconds=MAX_SECONDS, with_rules=False)

        self.pending += 1
        try:
            explanation = await asyncio.get_running_loop().run_in_executor(self._thread, compute)
        finally:
            self.pending -= 1
        changes_at = explanation.verdict.changes_at
        until = at + CACHED_FOR if changes_at is None else min(changes_at, at + CACHED_FOR)
        self._cache[key] = _Cached(explanation, at, until)
        while len(self._cache) > MAX_CACHED:
            self._cache.popitem(last=False)
        return explanation


explanation_worker = ExplanationWorker()
"""The explanation worker of this process."""


@lru_cache(maxsize=200)
def _fields_read(evaluator: ModuleEvaluator) -> tuple[str, ...]:
    return tuple(sorted(set[str]().union(*(fields_read(rule.condition) for rule in evaluator.module.rules))))


async def explain_to_citizen(
    city: City, module: str, facts: Struct, language: str, describe: Callable[[Verdict], Text] | None = None
) -> VerdictExplanation:
    """Return the explanation of a verdict now, in words of one language; see `plain.sentences` for `describe`.

    Raises TooManyExplanations.
    """
    return explanation_of(city, await explanation_worker.explain(city, module, facts, city.now()), language, describe)


def explanation_of(
    city: City, explanation: Explanation, language: str, describe: Callable[[Verdict], Text] | None = None
) -> VerdictExplanation:
    """Return an explanation as a citizen gets it."""
    verdict = explanation.verdict
    assert explanation.way_out is not None, "it is by the law of its own day"
    return VerdictExplanation(
        module=explanation.module,
        title=explanation.title,
        result=verdict.result,
        rule=verdict.rule,
        because=verdict.because,
        remedy=verdict.remedy,
        changes_at=verdict.changes_at,
        sentences=[text.in_language(language) for text in sentences(explanation, city.rulebook.time_zone, describe)],
        upcoming=[later_verdict(one) for one in explanation.upcoming],
        way_out=way_out_details(explanation.way_out),
        rulebook=verdict.rulebook,
    )
