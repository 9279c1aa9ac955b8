"""Proves claims about a module, or about the change from one edition of it to another."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, cast

from msgspec import Struct

from backend.i18n import Text
from backend.rulebook import Rulebook
from backend.rulebook.language.explainer import explain
from backend.rulebook.language.temporal import midnight
from backend.rulebook.language.types import EPOCH, INSTANT_RANGE, MICROSECOND, microseconds
from backend.rulebook.modules.case_writer import facts_yaml, instant_yaml, text_yaml
from backend.rulebook.modules.module import OTHERWISE, Module
from backend.rulebook.modules.units import money_text
from backend.rulebook.prover.claims import Added, Always, Apart, Changed, Claim, Compared, Decided, default_claim
from backend.rulebook.prover.encoder import Unencodable
from backend.rulebook.prover.enough import sizes_for
from backend.rulebook.prover.minimise import Minimiser
from backend.rulebook.prover.outcome import law_key
from backend.rulebook.prover.people import NoSuchFacts, Person, block_of
from backend.rulebook.prover.question import Period, Question, Side, ask
from backend.rulebook.prover.report import ClaimResult, Counterexample, Decision, ProofReport, case_name
from backend.rulebook.prover.sizes import Sizes
from backend.rulebook.prover.smt import Model, Solver
from backend.rulebook.verdict import Law, Verdict

SECONDS_TO_MINIMISE = 5.0
_OPEN_TEXT = Text(zh="无法写出符合格式的文字", en="facts that the Struct of the facts accepts")


class UnconfirmedCounterexample(Exception):
    """The solver found a counterexample that the engine does not confirm: an error of the prover, not of the rules."""


class TooShortLists(Exception):
    """An author asked for lists that are too short to decide a claim; `reason` says which."""

    def __init__(self, reason: Text) -> None:
        super().__init__(reason.en)
        self.reason = reason


@dataclass(frozen=True)
class Edition:
    """A rulebook; with `on`, its law of that day is used at every instant."""

    rulebook: Rulebook
    on: date | None = None

    def laws(self, module: str) -> Sequence[tuple[datetime, datetime, Law]]:
        """Return the laws of a module with the instants from and until which each is used."""
        if self.on is not None:
            day = midnight(self.on, self.rulebook.time_zone)
            return [(*INSTANT_RANGE, self.rulebook.law(module, day))]
        return [(law.begins, law.ends, law) for law in self.rulebook.laws(module)]

    def evaluate(self, module: str, facts: Struct, at: datetime) -> Verdict:
        """Return the verdict of this edition."""
        return self.rulebook.evaluate(module, facts, at, on=self.on)


def prove_editions(
    old: Edition | Rulebook | None,
    new: Edition | Rulebook,
    claims: Mapping[str, Sequence[Claim]] | None = None,
    budget_seconds: float = 60.0,
    lists: int | None = None,
) -> ProofReport:
    """Prove claims about the modules of an edition, and about the change from an old one if there is one.

    `claims` are claims by module. Without them, each module that differs gets the default claim: nobody is worse off.
    Claims about two editions are left out without `old`, and for a module that is new. Every answer comes within the
    budget; what it leaves no time for is unknown. Raises TooShortLists if `lists` is too small for a claim, and
    UnconfirmedCounterexample. One proof runs at a time in a process.
    """
    began = time.monotonic()
    before = Edition(old) if isinstance(old, Rulebook) else old
    after = Edition(new) if isinstance(new, Rulebook) else new
    if claims is None:
        claims = default_claims(before, after)
    results: list[ClaimResult] = []
    for name, about in claims.items():
        for claim in about:
            prover = _Prover(before, after, after.rulebook.modules[name], claim, began + budget_seconds, lists)
            if not claim.compares or (before is not None and name in before.rulebook.modules):
                results.append(prover.result())
    digest = before.rulebook.digest if before is not None else None
    return ProofReport(digest, after.rulebook.digest, tuple(results), round(time.monotonic() - began, 3))


def default_claims(old: Edition | None, new: Edition, best: Mapping[str, bool] | None = None) -> dict[str, list[Claim]]:
    """Return the claim that nobody is worse off, for each module of both editions that differs.

    `best` says of some modules whether results at the end of the scale are good.
    """
    if old is None:
        return {}
    names = [name for name in new.rulebook.modules if differs(old, new, name)]
    modules = {name: new.rulebook.modules[name] for name in names}
    return {
        name: [default_claim(module, high=(best or {}).get(name, module.numeric))] for name, module in modules.items()
    }


def differs(old: Edition, new: Edition, name: str) -> bool:
    """Return whether a module of both editions decides by other rules or values in some period."""
    before, after = old.rulebook.modules.get(name), new.rulebook.modules.get(name)
    if before is None or after is None:
        return False
    return any(
        period.old is not None and law_key(before, period.old.law) != law_key(after, period.new.law)
        for period in _periods(old, new, after, INSTANT_RANGE)
    )


def _periods(old: Edition | None, new: Edition, module: Module, within: tuple[datetime, datetime]) -> Iterator[Period]:
    """Yield the periods in which neither law changes in a way that matters, latest first."""
    before = None if old is None else old.rulebook.modules.get(module.name)
    found: list[Period] = []
    for begins, ends, law in new.laws(module.name):
        olds: Sequence[tuple[datetime, datetime, Law | None]] = [(*INSTANT_RANGE, None)]
        if old is not None and before is not None:
            olds = old.laws(module.name)
        for old_begins, old_ends, old_law in olds:
            begin, end = max(begins, old_begins, within[0]), min(ends, old_ends, within[1])
            if begin < end:
                side = Side(before, old_law) if before is not None and old_law is not None else None
                found.append(Period(begin, end, Side(module, law), side))
    merged: list[Period] = []
    for period in found:
        if merged and merged[-1].ends == period.begins and _key(merged[-1]) == _key(period):
            merged[-1] = Period(merged[-1].begins, period.ends, period.new, period.old)
        else:
            merged.append(period)
    yield from reversed(merged)


def _key(period: Period) -> tuple[object, ...]:
    return tuple(law_key(side.module, side.law) for side in period.sides())


@dataclass
class _Prover:
    old: Edition | None
    new: Edition
    module: Module
    claim: Claim
    deadline: float
    lists: int | None
    left_out: list[Text] = field(default_factory=list[Text])
    sizes: dict[str, int] = field(default_factory=dict[str, int])
    complete: bool = True

    def result(self) -> ClaimResult:
        """Return the answer to the claim."""
        began = time.monotonic()
        found: Counterexample | None = None
        if self.claim.compares and not self._is_comparable():
            reason = Text(zh="两版的模块不能比较", en="the module of the old edition has other facts or results")
            self.left_out.append(reason)
        else:
            zone = self.new.rulebook.time_zone
            since, until = (day and midnight(day, zone) for day in (self.claim.since, self.claim.until))
            within = (since or INSTANT_RANGE[0], until or INSTANT_RANGE[1])
            for period in _periods(self.old if self.claim.compares else None, self.new, self.module, within):
                found = self._period(period)
                if found is not None:
                    break
        answer = "counterexample" if found is not None else "unknown" if self.left_out else "holds"
        return ClaimResult(
            self.module.name,
            self.claim.id,
            self.claim.name,
            answer,
            {path: size for path, size in self.sizes.items() if size},
            self.complete,
            () if found is not None else tuple(self.left_out),
            round(time.monotonic() - began, 3),
            found,
            self.claim.fails,
        )

    def _is_comparable(self) -> bool:
        assert self.old is not None
        before = self.old.rulebook.modules.get(self.module.name)
        if before is None or before.facts is not self.module.facts:
            return False
        alike = before.numeric == self.module.numeric and (before.strategy == "collect") == (
            self.module.strategy == "collect"
        )
        return alike and (self.module.numeric or set(before.result) <= set(self.module.result))

    def _period(self, period: Period) -> Counterexample | None:
        """Return a counterexample in a period, or None after noting what is unknown."""
        if isinstance(self.claim.subject, Compared) and period.old is not None:
            keys = {law_key(side.module, side.law) for side in period.sides()}
            if len(keys) == 1:
                return None
        if time.monotonic() >= self.deadline:
            return self._unknown(Text(zh="时间不够", en=f"the time was over before {period.begins:%Y-%m-%d}"))
        try:
            if isinstance(self.claim.subject, Compared | Changed | Added):
                sizes = self._sized(sizes_for(self.claim, period, abstract=True))
                solver, _ = self._solver(period, sizes, abstract=True)
                if solver.check() == "unsat":
                    return None
            sizes = self._sized(sizes_for(self.claim, period, abstract=False))
            solver, question = self._solver(period, sizes, abstract=False)
        except Unencodable as error:
            return self._unknown(error.reason)
        answer = solver.check()
        if answer == "unsat":
            return None
        if answer == "unknown":
            return self._unknown(
                Text(zh="求解器在时限内没有结论", en=f"the solver did not decide {period.begins:%Y-%m-%d} in time")
            )
        return self._counterexample(*self._smallest(question, solver, period, sizes))

    def _solver(self, period: Period, sizes: Sizes, *, abstract: bool) -> tuple[Solver, Question]:
        question = ask(self.claim, period, sizes, abstract=abstract)
        solver = Solver(self.deadline - time.monotonic())
        solver.add(*question.constraints())
        return solver, question

    def _unknown(self, reason: Text) -> None:
        if reason not in self.left_out:
            self.left_out.append(reason)

    def _sized(self, sizes: Sizes) -> Sizes:
        """Return the lengths with those that the author asks for. Raises TooShortLists."""
        asked = self.lists if self.lists is not None else self.claim.lists
        lengths = dict(sizes.lengths)
        if asked is not None:
            path, needed = max(lengths.items(), key=lambda item: item[1], default=("", 0))
            if asked < needed:
                raise TooShortLists(
                    Text(
                        zh=f"列表长度 {asked} 不足以判断“{self.claim.id}”：{path} 至少要 {needed} 个元素",
                        en=f"lists of {asked} cannot decide {self.claim.id!r}: {path} needs {needed} elements",
                    )
                )
            lengths = {path: max(size, asked) if size else 0 for path, size in lengths.items()}
        for path, size in lengths.items():
            self.sizes[path] = max(size, self.sizes.get(path, 0))
        self.complete = self.complete and not sizes.incomplete
        return Sizes(lengths, sizes.incomplete)

    # ── counterexamples ──

    def _smallest(self, question: Question, solver: Solver, period: Period, sizes: Sizes) -> tuple[Question, Model]:
        """Return the smallest counterexample: first the fewest elements, then the simplest values of just these."""
        deadline = min(self.deadline, time.monotonic() + SECONDS_TO_MINIMISE)
        near = min(microseconds(max(period.begins, EPOCH)), microseconds(period.ends) - 1)
        zone = self.new.rulebook.time_zone
        model = solver.model()
        solver.limit(2)
        lengths = Minimiser(question, solver, model, zone, near, deadline).fewest_elements()
        small = ask(self.claim, period, Sizes({path: lengths.get(path, 0) for path in sizes.lengths}, frozenset()))
        again = Solver(2)
        again.add(*small.constraints())
        if again.check() != "sat":  # only if a list must be longer than its elements suggest
            small, again = question, solver
            again.check()
        deadline = min(self.deadline, time.monotonic() + SECONDS_TO_MINIMISE)
        return small, Minimiser(small, again, again.model(), zone, near, deadline).simplest_values()

    def _counterexample(self, question: Question, smallest: Model) -> Counterexample | None:
        person = Person(question.space, smallest)
        try:
            facts = person.facts(question.facts)
            other = None if question.other is None else person.facts(question.other)
        except NoSuchFacts as error:
            return self._unknown(Text(zh=_OPEN_TEXT.zh, en=f"{_OPEN_TEXT.en}: {error}"))
        at = EPOCH + smallest.number(question.now) * MICROSECOND
        before, after = self._verdicts(facts, other, at)
        if not self.contradicts(facts, other, at, before, after):
            if question.left_out or question.space.has_decimals:
                self.left_out += question.left_out or [Text(zh="小数的精确值", en="exact decimal numbers")]
                return None
            raise UnconfirmedCounterexample(f"{self.module.name}: {self.claim.id} at {at}: {facts}")
        return self._shown(facts, other, at, before, after)

    def _verdicts(self, facts: Struct, other: Struct | None, at: datetime) -> tuple[Verdict | None, Verdict]:
        name = self.module.name
        if other is not None:
            return self.new.evaluate(name, facts, at), self.new.evaluate(name, other, at)
        before = self.old.evaluate(name, facts, at) if self.old is not None and self.claim.compares else None
        return before, self.new.evaluate(name, facts, at)

    def contradicts(
        self, facts: Struct, other: Struct | None, at: datetime, before: Verdict | None, after: Verdict
    ) -> bool:
        """Return whether the engine's verdicts contradict the claim."""
        if self.claim.condition is not None and not self._holds(self.claim.condition, facts, at):
            return False
        match self.claim.subject:
            case Compared() as compared:
                assert before is not None
                excepted = compared.unless is not None and self._holds(compared.unless, facts, at)
                return not excepted and self._broken(compared.never, before, after)
            case Changed() | Added():
                assert before is not None
                assert other is not None
                return self._broken(self.claim.subject.never, before, after)
            case Apart(one, two):
                held = {*after.fired, *(after.result if self.module.strategy == "collect" else ())}
                return {one, two} <= held
            case Decided():
                return after.rule == OTHERWISE
            case Always(condition):
                shown = {"new": self._as_struct(after), "old": before and self._as_struct(before)}
                return not self._holds(condition, facts, at, **shown)

    def _holds(self, node: Any, facts: Struct, at: datetime, **names: object) -> bool:  # noqa: ANN401  a Node
        text = next(text for known, text in self.claim.texts if known is node)
        return explain(text, node, {"facts": facts, "now": at, **names}).value is True

    def _broken(self, never: str, before: Verdict, after: Verdict) -> bool:
        if self.module.strategy == "collect":
            nothing = {self.module.otherwise.then}  # it stands for no word at all
            one, two = (set(verdict.result) - nothing for verdict in (before, after))
            worse, better = (one - two, two - one) if self.claim.best_is_high else (two - one, one - two)
            return bool({"worse": worse, "better": better, "different": worse | better}[never])
        if never == "different":
            return before.result != after.result
        one, two = (self._place(verdict) for verdict in (before, after))
        return two < one if (never == "worse") is self.claim.best_is_high else two > one

    def _place(self, verdict: Verdict) -> int:
        return verdict.result if self.module.numeric else self.module.result.index(verdict.result)

    def _as_struct(self, verdict: Verdict) -> Struct:
        severity = 0
        if not self.module.numeric and self.module.strategy != "collect":
            severity = self._place(verdict)
        return _Shown(verdict.result, verdict.rule, verdict.fired, severity)

    def _shown(
        self, facts: Struct, other: Struct | None, at: datetime, before: Verdict | None, after: Verdict
    ) -> Counterexample:
        zone = self.new.rulebook.time_zone
        in_yuan = self.module.in_yuan
        shown, then = before and _decision(before, in_yuan=in_yuan), _decision(after, in_yuan=in_yuan)
        name = case_name(self.claim.name, shown, then).zh
        result = f"[{then.result}]" if self.module.strategy == "collect" else then.result
        on = "" if self.new.on is None else f"    on: {self.new.on}\n"
        case = (
            f"  - case: {text_yaml(name)}\n    at: {instant_yaml(at, zone)}\n{on}"
            f"    given: {facts_yaml(facts if other is None else other, zone)}\n"
            f"    expect: {{result: {result}, rule: {after.rule}}}\n"
        )
        changed = None if other is None else block_of(other, zone)
        return Counterexample(at.astimezone(zone), block_of(facts, zone), changed, shown, then, case)


class _Shown(Struct, frozen=True):
    result: Any
    rule: str
    fired: tuple[str, ...]
    severity: int


def _decision(verdict: Verdict, *, in_yuan: bool) -> Decision:
    result = verdict.result
    text = ", ".join(cast("tuple[str, ...]", result)) if isinstance(result, tuple) else str(result)
    if in_yuan and isinstance(result, int):
        text = money_text(result)
    return Decision(text, verdict.rule, verdict.fired)
