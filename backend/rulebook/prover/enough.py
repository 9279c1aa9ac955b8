"""How long lists must be to decide one claim in one period, from the conditions that its answer depends on."""

from collections import Counter

from backend.rulebook.language.tree import key_of
from backend.rulebook.prover.claims import Added, Always, Apart, Changed, Claim, Compared
from backend.rulebook.prover.outcome import condition_key
from backend.rulebook.prover.question import Period, Side, lists_on_the_way, untouched_conditions
from backend.rulebook.prover.sizes import Demand, Demands, Sizes, either, solve

_NOTHING: frozenset[object] = frozenset()


def sizes_for(claim: Claim, period: Period, *, abstract: bool) -> Sizes:
    """Return how long lists must be for an answer to the claim in a period; see `ask` for `abstract`."""
    left_out = untouched_conditions(claim, period) if abstract else _NOTHING
    # A claim about a change looks at each condition before it and after it.
    twice = 2 if isinstance(claim.subject, Changed | Added) and not _one_side_is_enough(claim, period) else 1
    fires: list[list[Demand]] = []
    silent: dict[object, Demand] = {}
    for side in period.sides():
        demands = Demands(side.law.parameter_values)
        rules = [rule for rule in side.law.rules if condition_key(side.law, rule) not in left_out]
        fires.append([demands.of(rule.condition, truth=True) for rule in rules])
        silent |= {condition_key(side.law, rule): demands.of(rule.condition, truth=False) for rule in rules}
    slots = [[demand for side in fires for demand in side]] if _one_side_is_enough(claim, period) else []
    if not slots:
        slots = [slot for side, found in zip(period.sides(), fires, strict=True) for slot in _slots(claim, side, found)]
    paths = {"added": "facts." + ".".join(claim.subject.path)} if isinstance(claim.subject, Added) else {}
    own = [
        either([Demands({}).of(node, truth=truth, paths=paths) for truth in (True, False)])
        for node in claim.conditions()
    ]
    firing = [Demand(each=either(slot).each, loops=either(slot).loops) for slot in slots if slot]
    slots = [*slots * twice, *([demand] for demand in own), *[[demand] for demand in silent.values()] * twice]
    facts = period.new.module.facts
    if isinstance(claim.subject, Changed):
        slots.append([Demand(Counter(lists_on_the_way(facts, claim.subject.path)))])
    return solve(slots, [*own, *firing * twice, *list(silent.values()) * twice], facts)


def _one_side_is_enough(claim: Claim, period: Period) -> bool:
    """Return whether a counterexample is one rule that fires on one side, and rules that do not on the other.

    So it is if a rule that fires can only make the result more severe, or add a word. Otherwise the decisive rule of
    either side matters, and all rules that come before it.
    """
    if not isinstance(claim.subject, Compared | Changed | Added):
        return False
    sides = period.sides()
    if all(side.module.strategy == "collect" for side in sides):
        return True
    scale = sides[-1].module.result
    return all(
        side.module.strategy == "most_severe"
        and side.module.otherwise.then == scale[0]
        and side.module.result == tuple(word for word in scale if word in side.module.result)
        for side in sides
    )


def _slots(claim: Claim, side: Side, fires: list[Demand]) -> list[list[Demand]]:
    """Return which conditions must hold at once: that of the decisive rule, or of any number of them."""
    if not fires:
        return []
    reads_fired = isinstance(claim.subject, Always) and "fired" in repr(key_of(claim.subject.condition))
    if side.module.strategy == "sum" or reads_fired:
        return [[demand] for demand in fires]
    if isinstance(claim.subject, Apart):
        return [fires, fires]
    if side.module.strategy == "collect" and isinstance(claim.subject, Always):
        return [[demand] for demand in fires]
    return [fires]
