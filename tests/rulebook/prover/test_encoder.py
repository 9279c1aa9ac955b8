"""The terms of the solver have the values that the engine computes, on random facts of every module of the city."""

from datetime import datetime, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from msgspec import Struct

from backend.city.service import discover_services, rule_modules_of
from backend.rulebook import SourceFile, load_rulebook, make_rulebook
from backend.rulebook.language.temporal import part_of
from backend.rulebook.language.types import MICROSECOND, TIMESTAMP, Type, fields_of, microseconds
from backend.rulebook.needs import facts_of
from backend.rulebook.prover.encoder import Encoder, full_years, part_of_instant
from backend.rulebook.prover.outcome import outcome_of
from backend.rulebook.prover.proof import prove_editions
from backend.rulebook.prover.smt import Solver
from backend.rulebook.prover.symbols import FactSpace, Held, SymbolicList, SymbolicStruct, Words, constant
from tests.conftest import ROOT
from tests.rulebook.prover.small_people import SmallPeople
from tests.rulebook.tram import CITY, Rider, with_rule

RULEBOOK = load_rulebook(ROOT / "rules", facts_of(rule_modules_of(discover_services())), CITY)
PEOPLE = 12


def known(space: FactSpace, value: Any) -> Any:  # noqa: ANN401  any fact
    """Return facts whose values are known as the encoder reads them."""
    if isinstance(value, Struct):
        fields: dict[str, Held] = {}
        for name in fields_of(type(value)):
            held = getattr(value, name)
            fields[name] = Held(held is not None, None if held is None else known(space, held))
        return SymbolicStruct(space, type(value), "facts", "facts", fields)
    if isinstance(value, tuple):
        return SymbolicList([(True, known(space, item)) for item in value])  # pyright: ignore[reportUnknownVariableType]
    return constant(value, space.words)


@pytest.mark.parametrize("name", sorted(RULEBOOK.modules))
def test_the_solver_computes_what_the_engine_decides(name: str) -> None:
    people = SmallPeople([RULEBOOK], name, Random(name))
    module = RULEBOOK.modules[name]
    for _ in range(PEOPLE):
        at = people.draw_instant()
        facts, law = people.draw(), RULEBOOK.law(name, at)
        space = FactSpace({}, Words())
        encoder = Encoder(space, law.parameter_values)
        found = outcome_of(module, law, encoder, {"facts": known(space, facts), "now": microseconds(at)})
        solver = Solver(10)
        solver.add(*space.all_constraints())
        assert solver.check() == "sat"
        model, verdict = solver.model(), RULEBOOK.evaluate(name, facts, at)
        fired = tuple(rule.id for rule in law.rules if model.truth(found.fired[rule.id]))
        assert fired == verdict.fired
        decisive = [rule for rule, decides in found.decisive.items() if model.truth(decides)]
        if module.strategy == "collect":
            assert {word for word, there in found.words.items() if model.truth(there)} == set(verdict.result)
        else:
            result = model.number(found.result)
            assert (result if module.numeric else module.result[result]) == verdict.result
        assert verdict.rule in decisive


ZONES = ("Asia/Shanghai", "America/New_York", "UTC", "-05:30")


@pytest.mark.parametrize("zone", ZONES)
def test_the_calendar_of_the_solver_is_that_of_the_engine(zone: str) -> None:
    """Instants around the turns of years, leap days and changes of the clock, and random ones."""
    parts = ("getFullYear", "getMonth", "getDate", "getDayOfYear", "getDayOfWeek", "getHours", "getMinutes")
    random = Random(zone)
    place = CITY if zone == "UTC" or zone[0] == "-" else ZoneInfo(zone)

    instants = [datetime(year, month, day, tzinfo=place) for year in (1900, 1904, 1940, 1986, 2000, 2100, 2149)
                for month, day in ((1, 1), (2, 28), (3, 1), (5, 4), (12, 31))]  # fmt: skip
    instants += [at + random.choice([MICROSECOND, -MICROSECOND, timedelta(hours=5)]) for at in instants[1:]]
    space = FactSpace({}, Words())
    solver = Solver(10)
    for at in random.sample(instants, 12):
        terms = {part: part_of_instant(space.calendar, part, microseconds(at), zone) for part in parts}
        solver = Solver(10)
        solver.add(*space.all_constraints())
        assert solver.check() == "sat"
        for part, term in terms.items():
            operation = part_of(part)(TIMESTAMP, Type("string", words=(zone,)))
            assert operation is not None
            assert solver.model().number(term) == operation.evaluate(at, zone), (part, at)
        space = FactSpace({}, space.words)


@pytest.mark.parametrize(
    ("born", "at", "years"),
    [
        pytest.param("2000-02-29", "2070-02-28", 69, id="the-day-before-a-leap-birthday"),
        pytest.param("2000-02-29", "2070-03-01", 70, id="a-leap-birthday-in-another-year"),
        pytest.param("1956-11-29", "2026-11-28", 69, id="the-last-day-before-seventy"),
        pytest.param("1956-11-29", "2026-11-29", 70, id="the-seventieth-birthday"),
        pytest.param("2030-01-01", "2026-11-29", 0, id="not-yet-born"),
    ],
)
def test_years_are_counted_by_the_calendar(born: str, at: str, years: int) -> None:

    space = FactSpace({}, Words())
    since, until = (microseconds(datetime.fromisoformat(day).replace(tzinfo=CITY)) for day in (born, at))
    term = full_years(space.calendar, since, until, CITY.key)
    solver = Solver(10)
    solver.add(*space.all_constraints())
    assert solver.check() == "sat"
    assert solver.model().number(term) == years


def test_a_condition_that_the_solver_does_not_know_is_named() -> None:
    rules = {when: make_rulebook({"tram.fare": SourceFile("fare", with_rule(when), [])}, [Rider], CITY) for when in
             ("facts.income * 2.0 > 50.0", "facts.income * 3.0 > 50.0")}  # fmt: skip
    (result,) = prove_editions(*rules.values()).results
    assert result.answer == "unknown"
    assert [reason.en for reason in result.left_out] == ["rule 'only': arithmetic with decimal numbers"]


def test_a_change_beside_an_unknown_condition_is_proved() -> None:
    text = with_rule("facts.income * 2.0 > 50.0 || facts.age < 14")
    other = text.replace("value: 1d", "value: 2d")
    editions = [make_rulebook({"tram.fare": SourceFile("fare", each, [])}, [Rider], CITY) for each in (text, other)]
    assert prove_editions(*editions).answer == "holds"
