"""Replay: what a draft of the rules would have decided where the city really decided.

It reads stored decisions with the facts of then, never present facts, and writes nothing. A decision is replayed only
if the rulebook that made it decides the same again on the facts that are kept; all others are counted with the reason.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Literal
from zoneinfo import ZoneInfo

from msgspec import Struct, field

from backend.city.decisions import StoredDecision
from backend.city.releases import RulebookRelease, released_rulebook
from backend.city.service import City
from backend.i18n import Text
from backend.rulebook import InvalidRulebook, Rulebook, Verdict
from backend.rulebook.diff.change import written

MAX_SAMPLES = 20
MAX_CELLS = 100
"""The most different pairs of results, or of rules, that a report lists."""

BATCH = 200
"""Decisions after which other work of the process has its turn."""

Reason = Literal["facts_not_kept", "rules_not_kept", "facts_changed", "module_removed"]


class Cell(Struct, frozen=True):
    """How many decisions were `decided` so, and would be decided as in the `draft`; results, or rules."""

    decided: str
    draft: str
    count: int


class Sample(Struct, frozen=True):
    """A decision that would have been another one; `id` is opaque, the same in each report of the city."""

    id: str
    at: datetime
    decided: str
    decided_rule: str
    decided_because: Text
    draft: str
    draft_rule: str
    draft_because: Text


class ModuleReplay(Struct, frozen=True):
    """The stored decisions of one module: how many were replayed, how many of them would have another result.

    `not_replayed` counts the others: the facts or the rules of then are not kept, the facts have been changed since, or
    the draft has no such module. `results` and `rules` list pairs, the most frequent first; `rules` only where the
    result differs.
    """

    module: str
    replayed: int
    changed: int
    not_replayed: dict[Reason, int]
    results: tuple[Cell, ...]
    rules: tuple[Cell, ...]
    samples: tuple[Sample, ...]


class ReplayReport(Struct, frozen=True):
    """What a draft would have decided since an instant, by module.

    `examined` decisions were read; if not `complete`, there are more. `without_decisions` are the modules of the draft
    whose decisions no service stores.
    """

    draft: str
    since: datetime
    examined: int
    complete: bool
    modules: tuple[ModuleReplay, ...]
    without_decisions: tuple[str, ...]


class _Tally(Struct):
    replayed: int = 0
    changed: int = 0
    not_replayed: Counter[Reason] = field(default_factory=Counter)
    results: Counter[tuple[str, str]] = field(default_factory=Counter)
    rules: Counter[tuple[str, str]] = field(default_factory=Counter)
    samples: list[Sample] = field(default_factory=list[Sample])


async def replay(
    city: City,
    draft: Rulebook,
    since: datetime,
    *,
    max_decisions: int | None = None,
    progress: Callable[[int], None] = lambda _examined: None,
) -> ReplayReport:
    """Decide the stored decisions since an instant again, by a draft, each at its own instant.

    With `max_decisions`, the first so many are read. `progress` is called with their number so far.
    """
    rulebooks = _Rulebooks(city)
    tallies: dict[str, _Tally] = {}
    examined, complete = 0, True
    async for decision in _decisions(city, since):
        if examined == max_decisions:
            complete = False
            break
        await _replay_one(city, draft, decision, tallies.setdefault(decision.module, _Tally()), rulebooks)
        examined += 1
        if examined % BATCH == 0:
            progress(examined)
            await asyncio.sleep(0)
    modules = tuple(_report(name, tallies[name]) for name in sorted(tallies))
    stored = [pattern for patterns in city.decisions.values() for pattern in patterns]
    silent = tuple(name for name in sorted(draft.modules) if not any(fnmatchcase(name, one) for one in stored))
    return ReplayReport(draft.digest, since, examined, complete, modules, silent)


async def _decisions(city: City, since: datetime) -> AsyncIterator[StoredDecision]:
    for finders in city.decisions.values():
        for find in finders.values():
            async for decision in find(city, since):
                yield decision


async def _replay_one(
    city: City, draft: Rulebook, decision: StoredDecision, tally: _Tally, rulebooks: "_Rulebooks"
) -> None:
    own = await rulebooks.get(decision.rulebook)
    reason: Reason | None = None
    if decision.module not in draft.modules:
        reason = "module_removed"
    elif type(decision.facts) is not draft.modules[decision.module].facts:  # not kept, or the draft reads others
        reason = "facts_not_kept"
    elif own is None or decision.module not in own.modules:
        reason = "rules_not_kept"
    if reason is not None or own is None or decision.facts is None:
        tally.not_replayed[reason or "facts_not_kept"] += 1
        return
    before = own.evaluate(decision.module, decision.facts, decision.at)
    if (before.result, before.rule) != (decision.result, decision.rule):
        tally.not_replayed["facts_changed"] += 1
        return
    after = draft.evaluate(decision.module, decision.facts, decision.at)
    tally.replayed += 1
    results = (
        written(before.result, money=own.modules[decision.module].in_yuan),
        written(after.result, money=draft.modules[decision.module].in_yuan),
    )
    tally.results[results] += 1
    if before.result == after.result:
        return
    tally.changed += 1
    tally.rules[before.rule, after.rule] += 1
    if len(tally.samples) < MAX_SAMPLES:
        opaque = city.encryption.digest("replayed-decision", f"{decision.module}\n{decision.id}")[:16]
        tally.samples.append(_sample(opaque, before, after, results))


def _sample(opaque: str, before: Verdict, after: Verdict, results: tuple[str, str]) -> Sample:
    return Sample(
        opaque,
        before.at,
        results[0],
        before.rule,
        before.because,
        results[1],
        after.rule,
        after.because,
    )


def _report(name: str, tally: _Tally) -> ModuleReplay:
    results, rules = (
        tuple(Cell(decided, draft, count) for (decided, draft), count in counted.most_common(MAX_CELLS))
        for counted in (tally.results, tally.rules)
    )
    return ModuleReplay(
        name, tally.replayed, tally.changed, dict(tally.not_replayed), results, rules, tuple(tally.samples)
    )


class _Rulebooks:
    """The rulebooks that made the decisions, each compiled once; None for one that is not kept or not usable."""

    def __init__(self, city: City) -> None:
        self.city = city
        self.found: dict[str, Rulebook | None] = {city.rulebook.digest: city.rulebook}

    async def get(self, digest: str) -> Rulebook | None:
        if digest not in self.found:
            self.found[digest] = await self._read(digest)
        return self.found[digest]

    async def _read(self, digest: str) -> Rulebook | None:
        city = self.city
        if await city.store.get(RulebookRelease, digest) is None:
            return None
        zone = ZoneInfo(city.settings.time_zone)
        try:
            return await released_rulebook(city.store, digest, city.rule_modules, zone, city.rulebook)
        except InvalidRulebook:  # the facts of the services have changed since
            return None
