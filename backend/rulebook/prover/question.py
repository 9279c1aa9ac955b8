"""A claim in one period of the law, as a question for the solver: who is a counterexample?"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import cast

from msgspec import Struct

from backend.i18n import Text
from backend.rulebook.language.tree import Field, Has, Node, Variable, walk
from backend.rulebook.language.types import Type, fields_of, microseconds
from backend.rulebook.modules.module import Module, Rule
from backend.rulebook.prover.claims import (
    Added,
    Always,
    Apart,
    Changed,
    Claim,
    Compared,
    Decided,
    Never,
)
from backend.rulebook.prover.encoder import Encoder, Unencodable
from backend.rulebook.prover.outcome import Outcome, condition_key, number_of, outcome_of
from backend.rulebook.prover.sizes import Sizes
from backend.rulebook.prover.smt import Term, boolean, choose, conj, disj, integer, neg, total
from backend.rulebook.prover.symbols import (
    FactSpace,
    Held,
    SymbolicList,
    SymbolicStruct,
    Value,
    Words,
    item_kind,
    kind_of_field,
)
from backend.rulebook.verdict import Law


@dataclass(frozen=True)
class Side:
    """One edition of a module under one of its laws."""

    module: Module
    law: Law


@dataclass(frozen=True)
class Period:
    """The instants from `begins` until `ends`, and the law of the new and of the old edition in them."""

    begins: datetime
    ends: datetime
    new: Side
    old: Side | None = None

    def sides(self) -> list[Side]:
        """Return the editions that are compared."""
        return [self.new] if self.old is None else [self.old, self.new]


@dataclass
class Question:
    """Symbolic facts, the instant, and the condition under which they contradict the claim.

    `other` are the changed facts of a claim about a change. `left_out` are the parts of rules that the solver does not
    know; each of them may be true or false in an answer.
    """

    space: FactSpace
    facts: SymbolicStruct
    other: SymbolicStruct | None
    now: Term
    violation: Term
    left_out: list[Text] = field(default_factory=list[Text])

    def constraints(self) -> list[Term]:
        """Return all that holds of the variables."""
        return [*self.space.all_constraints(), self.violation]


def ask(claim: Claim, period: Period, sizes: Sizes, *, abstract: bool = False) -> Question:
    """Return the question whether a claim can be contradicted in a period. Raises Unencodable.

    An `abstract` question is smaller: conditions that the change does not touch may be true or false, whatever the
    facts. A claim that it cannot contradict holds; an answer to it need not be a person.
    """
    space = FactSpace(sizes.lengths, Words())
    if isinstance(claim.subject, Changed):  # its first element is the one that changes
        space.unordered |= set(lists_on_the_way(period.new.module.facts, claim.subject.path))
    untouched = untouched_conditions(claim, period)
    return _Asker(claim, period, space, space.facts(period.new.module.facts), untouched, abstract).question()


def untouched_conditions(claim: Claim, period: Period) -> frozenset[object]:
    """Return the keys of the conditions that have the same value before and after the change."""
    keys = [{condition_key(side.law, rule): rule for rule in side.law.rules} for side in period.sides()]
    match claim.subject:
        case Compared() if period.old is not None:
            return frozenset(keys[0].keys() & keys[1].keys())
        case Changed(path=path) | Added(path=path):
            return frozenset(key for key, rule in keys[0].items() if path[0] not in _fields_read(rule))
        case _:
            return frozenset()


def _fields_read(rule: Rule) -> set[str]:
    """Return the fields of the facts that a condition reads."""
    return {
        node.name
        for node in walk(rule.condition)
        if isinstance(node, Field | Has) and isinstance(node.operand, Variable) and node.operand.name == "facts"
    }


@dataclass
class _Asker:
    claim: Claim
    period: Period
    space: FactSpace
    facts: SymbolicStruct
    untouched: frozenset[object]
    abstract: bool
    now: Term = field(default_factory=lambda: integer("now"))
    left_out: list[Text] = field(default_factory=list[Text])
    known: dict[object, Term] = field(default_factory=dict[object, Term])

    def question(self) -> Question:
        facts = self.facts
        self.space.constraints += [
            self.now >= microseconds(self.period.begins),
            self.now < microseconds(self.period.ends),
        ]
        other, changes = self._other(facts)
        violation = conj([self._condition(self.claim.condition, facts), *changes, self._violation(facts, other)])
        return Question(self.space, facts, other, self.now, violation, self.left_out)

    def _condition(self, node: Node | None, facts: SymbolicStruct, **names: Value) -> Term:
        if node is None:
            return True
        return Encoder(self.space, {}).encode(node, {"facts": facts, "now": self.now, **names})

    def outcome(self, side: Side, facts: SymbolicStruct) -> Outcome:
        encoder = _Lenient(self.space, side.law.parameter_values, self, side, facts.name)
        return outcome_of(side.module, side.law, encoder, {"facts": facts, "now": self.now})

    # ── changed facts ──

    def _other(self, facts: SymbolicStruct) -> tuple[SymbolicStruct | None, list[Term]]:
        """Return the changed facts, and what holds of the change."""
        match self.claim.subject:
            case Changed() as changed:
                replaced, terms = self._changed(facts, changed.path, changed)
                return _renamed(replaced), terms
            case Added() as added:
                replaced, terms = self._added(facts, added.path, added)
                return _renamed(replaced), terms
            case _:
                return None, []

    def _changed(
        self, owner: SymbolicStruct, path: Sequence[str], changed: Changed
    ) -> tuple[SymbolicStruct, list[Term]]:
        name, *rest = path
        held = owner.read(name)
        if isinstance(held.value, SymbolicStruct):
            inner, terms = self._changed(held.value, rest, changed)
            return owner.replaced(name, inner), [held.present, *terms]
        if isinstance(held.value, SymbolicList):
            return self._changed_element(owner, name, held, rest, changed)
        kind, described = fields_of(owner.struct)[name].type, kind_of_field(owner.struct, name)
        value = self.space.make(kind, described, f"{owner.path}.{name}", f"{owner.name}.{name}'")
        before, after = (value, held.value) if changed.direction in ("earlier", "less") else (held.value, value)
        return owner.replaced(name, value), [held.present, before < after]

    def _changed_element(
        self, owner: SymbolicStruct, name: str, held: Held, rest: Sequence[str], changed: Changed
    ) -> tuple[SymbolicStruct, list[Term]]:
        """Change the first element of a list; the order of the elements means nothing to the rules."""
        if not held.value.elements:
            return owner, [False]
        first, *others = held.value.elements
        element, terms = self._changed(first[1], rest, changed)
        replaced = SymbolicList([(first[0], element), *others], held.value.length)
        return owner.replaced(name, replaced), [held.present, first[0], *terms]

    def _added(self, owner: SymbolicStruct, path: Sequence[str], added: Added) -> tuple[SymbolicStruct, list[Term]]:
        name, *rest = path
        held = owner.read(name)
        if rest:
            inner, terms = self._added(held.value, rest, added)
            return owner.replaced(name, inner), [held.present, *terms]
        kind = cast("Type", fields_of(owner.struct)[name].type.element)
        described = kind_of_field(owner.struct, name)
        item = self.space.make(kind, item_kind(described), f"{owner.path}.{name}[]", f"{owner.name}.{name}[+]")
        length = held.value.length
        most: int | None = getattr(described, "max_length", None)
        longer = SymbolicList([*held.value.elements, (True, item)], length + 1)
        where = self._condition(added.where, self.facts, added=item)
        return owner.replaced(name, longer), [held.present, where, True if most is None else length < most]

    # ── what contradicts the claim ──

    def _violation(self, facts: SymbolicStruct, other: SymbolicStruct | None) -> Term:
        match self.claim.subject:
            case Compared() as compared:
                assert self.period.old is not None
                old, new = self.outcome(self.period.old, facts), self.outcome(self.period.new, facts)
                unless = False if compared.unless is None else self._condition(compared.unless, facts)
                return conj([neg(unless), self._broken(compared.never, old, new)])
            case Changed() | Added():
                assert other is not None
                old, new = self.outcome(self.period.new, facts), self.outcome(self.period.new, other)
                return self._broken(self.claim.subject.never, old, new)
            case Apart(one, two):
                found = self.outcome(self.period.new, facts)
                both = {**found.fired, **found.words}
                return conj([both.get(one, False), both.get(two, False)])
            case Decided():
                return self.outcome(self.period.new, facts).decisive["otherwise"]
            case Always() as always:
                return neg(self._condition(always.condition, facts, **self._verdicts(facts)))

    def _broken(self, never: Never, old: Outcome, new: Outcome) -> Term:
        if old.words or new.words:
            nothing = self.period.new.module.otherwise.then  # it stands for no word at all
            words = [word for word in {**old.words, **new.words} if word != nothing]
            lost, gained = (
                [conj([one.words.get(word, False), neg(two.words.get(word, False))]) for word in words]
                for one, two in ((old, new), (new, old))
            )
            worse, better = (lost, gained) if self.claim.best_is_high else (gained, lost)
            return disj({"worse": worse, "better": better, "different": [*worse, *better]}[never])
        lower = (never == "worse") is self.claim.best_is_high
        if self.abstract and self.period.new.module.strategy == "sum" and never != "different":
            return self._sum_changes(old, new, lower=lower)
        if never == "different":
            return neg(old.result == new.result)
        return new.result < old.result if lower else new.result > old.result

    def _sum_changes(self, old: Outcome, new: Outcome, *, lower: bool) -> Term:
        """Return whether a sum can change this way, whatever the rules add that the change does not touch.

        Those add the same before and after, and the limits keep the order of two sums. Only if no touched rule fires on
        just one side, it may be `otherwise` that decides there.
        """
        sides = self.period.sides()
        shared = self._unchanged_amounts()
        sums: list[Term] = []
        silent: list[Term] = []
        for side, found in ((sides[0], old), (sides[-1], new)):
            touched = [rule for rule in side.law.rules if _amount_key(side, rule) not in shared]
            sums.append(total([choose(found.fired[rule.id], number_of(side.law, rule), 0) for rule in touched]))
            silent.append(neg(disj(found.fired[rule.id] for rule in touched)))
        changes = sums[1] < sums[0] if lower else sums[1] > sums[0]
        return disj([conj([changes, neg(conj(silent))]), neg(silent[0] == silent[1])])

    def _unchanged_amounts(self) -> set[object]:
        """Return the keys of the rules that add the same amount under the same untouched condition on both sides."""
        found = [
            [_amount_key(side, rule) for rule in side.law.rules if condition_key(side.law, rule) in self.untouched]
            for side in self.period.sides()
        ]
        common = set(found[0]) & set(found[-1])
        return {key for key in common if all(side.count(key) == 1 for side in found)}

    def _verdicts(self, facts: SymbolicStruct) -> dict[str, Value]:
        """Return `old` and `new` as Structs that a free claim can read."""
        new = self._verdict(self.period.new, facts)
        return {"new": new} if self.period.old is None else {"new": new, "old": self._verdict(self.period.old, facts)}

    def _verdict(self, side: Side, facts: SymbolicStruct) -> SymbolicStruct:
        found, words = self.outcome(side, facts), self.space.words
        rule: Term = words.number("otherwise")
        for name, decides in found.decisive.items():
            rule = choose(decides, words.number(name), rule)
        fired = SymbolicList([(fires, words.number(name)) for name, fires in found.fired.items()])
        result: Value = found.result
        if found.words:
            result = SymbolicList([(there, words.number(word)) for word, there in found.words.items()])
        elif not side.module.numeric:
            result = words.number(cast("str", side.module.result[0]))
            for place, word in enumerate(side.module.result):
                result = choose(found.result == place, words.number(cast("str", word)), result)
        held = {"result": result, "rule": rule, "fired": fired, "severity": found.result}
        fields = {name: Held(True, value) for name, value in held.items()}
        return SymbolicStruct(self.space, side.module.facts, "verdict", "verdict", fields)


def _renamed(facts: SymbolicStruct) -> SymbolicStruct:
    """Give changed facts a name of their own."""
    facts.name = "other"
    return facts


def _amount_key(side: Side, rule: Rule) -> object:
    return condition_key(side.law, rule), number_of(side.law, rule)


@dataclass
class _Lenient(Encoder):
    """Encodes rules; a condition that the solver does not know becomes a truth value that may be either.

    It is the same value wherever the same condition is tested on the same facts. A claim that holds for either value
    holds.
    """

    asker: _Asker
    side: Side
    facts: str

    def condition(self, rule: Rule, names: Mapping[str, Value]) -> Term:
        """Return whether a rule fires; conditions with the same value share one term."""
        key = condition_key(self.side.law, rule)
        untouched = key in self.asker.untouched
        if untouched and self.asker.abstract:
            return boolean(f"?{key!r}")
        shared = ("" if untouched else self.facts, key)
        if shared not in self.asker.known:
            self.asker.known[shared] = self._condition(rule, names, shared)
        return self.asker.known[shared]

    def _condition(self, rule: Rule, names: Mapping[str, Value], shared: object) -> Term:
        try:
            return self.encode(rule.condition, names)
        except Unencodable as error:
            reason = Text(zh=f"规则 {rule.id}：{error.reason.zh}", en=f"rule {rule.id!r}: {error.reason.en}")
            if reason not in self.asker.left_out:
                self.asker.left_out.append(reason)
            return boolean(f"?{shared!r}")


def lists_on_the_way(facts: type[Struct], path: Sequence[str]) -> Iterator[str]:
    """Yield the path of each list on the way to a fact."""
    struct: type[Struct] | None = facts
    found = "facts"
    for name in path:
        assert struct is not None
        kind, found = fields_of(struct)[name].type, f"{found}.{name}"
        if kind.element is not None:
            yield found
            kind, found = kind.element, f"{found}[]"
        struct = kind.struct
