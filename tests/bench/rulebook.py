"""The rulebook: the verdict of a whole module compared with handwritten code, and the loading of many rules."""

import asyncio
import statistics
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from zoneinfo import ZoneInfo

from backend.city.service import discover_services, rule_modules_of
from backend.rulebook import Rulebook, load_rulebook
from backend.rulebook.needs import facts_of
from backend.services.health_code import service
from backend.services.health_code.facts import HealthFacts
from backend.services.health_code.model import HealthRecord
from backend.store.sqlite.store import SqliteStore
from tests.bench.city import synthetic_city
from tests.bench.colour_by_hand import MODULE, Decide, write_by_hand
from tests.bench.profiles import rich_facts
from tests.bench.report import Table, alternate, ratio_of

CITY = ZoneInfo("Asia/Shanghai")
RULES = Path(__file__).parents[2] / "rules"
ROUNDS = 21
RULES_LOADED = 150


def evaluate() -> Table:
    """Time `Rulebook.evaluate` and the hand-written function on the same people."""
    rulebook = load_rulebook(RULES, facts_of(rule_modules_of(discover_services())), CITY)
    now = datetime.now(UTC)
    by_hand = write_by_hand(rulebook, now)
    people = {
        "the synthetic city's people": asyncio.run(_facts_of(synthetic_city(5_000).store)),
        "people with 0 to 3 facts of every kind": list(rich_facts(Random(1), now, 5_000)),
    }
    rows = [_compare(name, facts, rulebook, by_hand, now) for name, facts in people.items()]
    return Table(
        "rulebook_evaluate",
        f"`Rulebook.evaluate` of the whole colour module compared with a handwritten function of equal Verdicts, "
        f"`changes_at` included; {ROUNDS} alternating rounds. Target: at least 70 % of its speed.",
        ("people", "by the rules", "by hand", "speed of the rules (by hand = 1)"),
        rows,
    )


def _compare(
    name: str, people: Sequence[HealthFacts], rulebook: Rulebook, by_hand: Decide, now: datetime
) -> tuple[str, ...]:
    for facts in people:
        assert rulebook.evaluate(MODULE, facts, now) == by_hand(facts, now), facts

    def run_rulebook() -> None:
        evaluate = rulebook.evaluate
        for facts in people:
            evaluate(MODULE, facts, now)

    def run_by_hand() -> None:
        for facts in people:
            by_hand(facts, now)

    ours, theirs = alternate(ROUNDS, run_rulebook, run_by_hand)
    cost = [f"{statistics.median(seconds) / len(people) * 1e6:.2f} us" for seconds in (ours, theirs)]
    return (f"{len(people):,} of {name}", *cost, f"**{ratio_of(ours, theirs):.2f}**")


async def _facts_of(path: Path) -> list[HealthFacts]:
    store = SqliteStore.open(path, [HealthRecord])
    facts = [record.facts async for record in store.scan(HealthRecord)]
    await store.close()
    return facts


def load() -> Table:
    """Time the loading of many rules: copies of the colour's rules, each with other parameters."""
    text = (RULES / "health_code" / "colour.yaml").read_text(encoding="utf-8")
    with TemporaryDirectory() as folder:
        root = Path(folder) / "health_code"
        root.mkdir()
        for copy in range(-(-RULES_LOADED // text.count("  - id: "))):
            named = text.replace("module: health_code.colour", f"module: health_code.colour{copy}")
            (root / f"colour{copy}.yaml").write_text(named.replace("14d", f"{14 + copy}d"), encoding="utf-8")
        durations: list[tuple[float, float]] = []
        count = 0
        for _ in range(5):
            begin = time.perf_counter()
            rulebook = load_rulebook(Path(folder), facts_of(service.rule_modules), CITY)
            loaded = time.perf_counter()
            rulebook.compile()
            durations.append((loaded - begin, time.perf_counter() - loaded))
            count = sum(len(module.rules) for module in rulebook.modules.values())
    reading, compiling = (statistics.median(seconds) for seconds in zip(*durations, strict=True))
    return Table(
        "rulebook_load",
        f"Reading, checking and compiling {count} rules of the colour's kind, each period separately; median of 5. "
        "Target: 150 rules in less than a second.",
        ("step", "seconds"),
        [
            ("read and check", f"{reading:.2f}"),
            ("compile every period", f"{compiling:.2f}"),
            ("together", f"**{reading + compiling:.2f}**"),
        ],
    )
