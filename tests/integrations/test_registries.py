"""Sandboxes of the registries that confirm a talent's evidence: correct answers, faults, and synthetic people."""

import asyncio
import subprocess
import sys
from asyncio import run
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from backend.city.service import discover_integrations, make_ports
from backend.city.upstream import UpstreamRejected, UpstreamTimeout
from backend.services.talent_code.facts import Degree, Post, Prize, Title
from backend.services.talent_code.ports import (
    Education,
    Employment,
    Finding,
    PayoutBank,
    PropertyRegister,
    SocialInsurance,
    Tax,
    TaxYear,
)
from backend.settings import Settings
from integrations._sandbox.database import CallOutcome, SandboxDatabase
from integrations.education.sandbox import SandboxEducation
from integrations.employment.sandbox import SandboxEmployment
from integrations.property_register.sandbox import SandboxPropertyRegister
from integrations.social_insurance.sandbox import SandboxSocialInsurance
from integrations.tax.sandbox import SandboxTax
from tests.conftest import ROOT
from tests.services.health_code.scene import id_number

NOON = datetime(2026, 3, 2, 4, 0, tzinfo=UTC)
WANG, LI, CHILD = id_number(101), id_number(102), id_number(103, 2018)
CITY = [id_number(serial, 1960 + serial % 44) for serial in range(1_000)]
"""A thousand people who are 22 to 66 years old."""

MASTER = Degree("master", datetime(2015, 6, 25, tzinfo=UTC), "key")
PROFESSOR = Title("professor", datetime(2020, 1, 7, tzinfo=UTC))
PRIZE = Prize("state_first", datetime(2021, 1, 7, tzinfo=UTC))
FOUNDER = Post("unicorn_founder", datetime(2018, 9, 1, tzinfo=UTC))

ASK: dict[str, Callable[[SandboxDatabase], Coroutine[Any, Any, object]]] = {
    "confirm_degree": lambda database: SandboxEducation(database).confirm_degree(WANG, "e1", MASTER),
    "confirm_merit": lambda database: SandboxEmployment(database).confirm_merit(WANG, "e1", PROFESSOR),
    "insured_months": lambda database: SandboxSocialInsurance(database).insured_months(WANG),
    "tax_year": lambda database: SandboxTax(database).tax_year(WANG, 2025),
    "invoiced_fen": lambda database: SandboxTax(database).invoiced_fen(WANG, "housing"),
    "homes": lambda database: SandboxPropertyRegister(database).homes(WANG),
}
"""A request of each kind about Wang, by the name of the call."""

CORRECT: dict[str, object] = {
    "confirm_degree": Finding("e1", "confirmed"),
    "confirm_merit": Finding("e1", "confirmed"),
    "insured_months": 14,
    "tax_year": TaxYear(2025, 120_000_000, 30_000_000),
    "invoiced_fen": 8_000_000,
    "homes": 1,
}
"""The correct answers about Wang, as recorded by the fixture `database`."""

CONFIRMING = ("confirm_degree", "confirm_merit")
FIGURES = ("insured_months", "tax_year", "invoiced_fen", "homes")
each_call = pytest.mark.parametrize("call", ASK)


@pytest.fixture
def database(tmp_path: Path) -> SandboxDatabase:
    database = SandboxDatabase(str(tmp_path / "sandbox.db"))
    database.clock = lambda: NOON
    SandboxEducation(database).set_degrees(WANG, MASTER)
    SandboxEmployment(database).set_merits(WANG, PROFESSOR, PRIZE, FOUNDER)
    SandboxSocialInsurance(database).set_months(WANG, 14)
    SandboxTax(database).set_year(WANG, TaxYear(2025, 120_000_000, 30_000_000))
    SandboxTax(database).set_invoiced(WANG, "housing", 8_000_000)
    SandboxPropertyRegister(database).set_homes(WANG, 1)
    return database


# ── records ──


def test_a_city_has_a_sandbox_behind_each_port_of_the_talent_code(settings: Settings) -> None:
    ports = make_ports(discover_integrations("integrations"), settings)
    for port in (Education, Employment, SocialInsurance, Tax, PropertyRegister, PayoutBank):
        assert isinstance(ports[port], port)


@each_call
def test_a_registry_answers_from_its_records(database: SandboxDatabase, call: str) -> None:
    assert run(ASK[call](database)) == CORRECT[call]


@each_call
def test_two_sandboxes_on_the_same_file_give_the_same_answer(
    database: SandboxDatabase, tmp_path: Path, call: str
) -> None:
    assert run(ASK[call](SandboxDatabase(str(tmp_path / "sandbox.db")))) == run(ASK[call](database))


def test_new_records_replace_the_previous_ones(database: SandboxDatabase) -> None:
    SandboxEducation(database).set_degrees(WANG)
    SandboxPropertyRegister(database).set_homes(WANG, 0)
    assert run(ASK["confirm_degree"](database)) == Finding("e1", "refuted")
    assert run(ASK["homes"](database)) == 0


def test_years_and_benefits_are_recorded_separately(database: SandboxDatabase) -> None:
    tax = SandboxTax(database)
    tax.set_year(WANG, TaxYear(2024, 1, 0))
    tax.set_invoiced(WANG, "car", 5)
    assert run(tax.tax_year(WANG, 2024)) == TaxYear(2024, 1, 0)
    assert run(tax.tax_year(WANG, 2025)) == CORRECT["tax_year"]
    assert (run(tax.invoiced_fen(WANG, "car")), run(tax.invoiced_fen(WANG, "housing"))) == (5, 8_000_000)


# ── confirmation ──


@pytest.mark.parametrize(
    "declared",
    [
        replace(MASTER, level="doctor"),
        replace(MASTER, school="world_100"),
        replace(MASTER, full_time=False),
        replace(MASTER, awarded_at=MASTER.awarded_at + timedelta(days=1)),
    ],
    ids=["level", "school", "way of study", "day"],
)
def test_a_degree_that_differs_from_the_true_one_is_refuted(database: SandboxDatabase, declared: Degree) -> None:
    assert run(SandboxEducation(database).confirm_degree(WANG, "e1", declared)) == Finding("e1", "refuted")


@pytest.mark.parametrize("merit", [PROFESSOR, PRIZE, FOUNDER], ids=["title", "prize", "post"])
def test_each_of_a_persons_merits_is_confirmed(database: SandboxDatabase, merit: Prize | Title | Post) -> None:
    assert run(SandboxEmployment(database).confirm_merit(WANG, "e1", merit)) == Finding("e1", "confirmed")
    SandboxEmployment(database).set_merits(LI)
    assert run(SandboxEmployment(database).confirm_merit(LI, "e2", merit)) == Finding("e2", "refuted")


@pytest.mark.parametrize(
    "declared",
    [
        replace(PROFESSOR, title="academician"),
        replace(PRIZE, awarded_at=PRIZE.awarded_at - timedelta(days=1)),
        replace(FOUNDER, since=FOUNDER.since - timedelta(days=400)),
        replace(FOUNDER, until=NOON),
    ],
    ids=["name", "day", "since", "until"],
)
def test_a_merit_that_differs_from_the_true_one_is_refuted(
    database: SandboxDatabase, declared: Prize | Title | Post
) -> None:
    assert run(SandboxEmployment(database).confirm_merit(WANG, "e1", declared)) == Finding("e1", "refuted")


@pytest.mark.parametrize(
    ("hour", "outcome"),
    [("2015-06-25T00:00", "confirmed"), ("2015-06-25T23:59", "confirmed"), ("2015-06-26T00:00", "refuted")],
)
def test_days_are_compared_in_utc_plus_8_at_any_hour(database: SandboxDatabase, hour: str, outcome: str) -> None:
    """The recorded instant, 25 June 2015 at 00:00 UTC, is 8 o'clock on that day."""
    declared = replace(MASTER, awarded_at=datetime.fromisoformat(f"{hour}+08:00"))
    assert run(SandboxEducation(database).confirm_degree(WANG, "e1", declared)).outcome == outcome


def test_a_post_that_has_ended_is_confirmed_with_its_end(database: SandboxDatabase) -> None:
    ended = replace(FOUNDER, until=datetime(2024, 5, 1, 2, tzinfo=UTC))
    SandboxEmployment(database).set_merits(WANG, ended)
    hours_later = replace(ended, until=datetime(2024, 5, 1, 9, tzinfo=UTC))
    assert run(SandboxEmployment(database).confirm_merit(WANG, "e1", hours_later)).outcome == "confirmed"
    assert run(SandboxEmployment(database).confirm_merit(WANG, "e1", FOUNDER)).outcome == "refuted"


# ── faults ──


@each_call
@pytest.mark.parametrize(
    ("outcome", "error"),
    [("lost_before", UpstreamTimeout), ("lost_after", UpstreamTimeout), ("refused", UpstreamRejected)],
    ids=str,
)
def test_a_registry_that_does_not_answer_or_rejects_can_be_asked_again(
    database: SandboxDatabase, call: str, outcome: CallOutcome, error: type[Exception]
) -> None:
    database.script_outcomes(call, outcome)
    with pytest.raises(error, match=call):
        run(ASK[call](database))
    assert run(ASK[call](database)) == CORRECT[call]


@pytest.mark.parametrize("call", CONFIRMING)
def test_a_confirmation_may_be_pending_for_some_time(database: SandboxDatabase, call: str) -> None:
    database.script_outcomes(call, "pending", "pending")
    answers = [run(ASK[call](database)) for _ in range(3)]
    assert answers == [Finding("e1", "pending"), Finding("e1", "pending"), CORRECT[call]]


@pytest.mark.parametrize("call", FIGURES)
def test_a_figure_that_is_not_ready_is_a_timeout(database: SandboxDatabase, call: str) -> None:
    database.script_outcomes(call, "pending")
    with pytest.raises(UpstreamTimeout):
        run(ASK[call](database))
    assert run(ASK[call](database)) == CORRECT[call]


@pytest.mark.parametrize("call", CONFIRMING)
def test_a_wrong_finding_confirms_other_evidence_than_requested(database: SandboxDatabase, call: str) -> None:
    database.script_outcomes(call, "wrong")
    assert run(ASK[call](database)) == Finding("not e1", "confirmed")
    assert run(ASK[call](database)) == CORRECT[call]


def test_a_wrong_tax_year_is_another_year(database: SandboxDatabase) -> None:
    database.script_outcomes("tax_year", "wrong")
    assert run(SandboxTax(database).tax_year(WANG, 2025)).year == 2024
    assert run(SandboxTax(database).tax_year(WANG, 2025)).year == 2025


@pytest.mark.parametrize("call", ["insured_months", "invoiced_fen", "homes"])
def test_a_wrong_figure_is_negative(database: SandboxDatabase, call: str) -> None:
    database.script_outcomes(call, "wrong")
    assert run(ASK[call](database)) == -1


@each_call
def test_a_call_that_hangs_can_be_cancelled(database: SandboxDatabase, call: str) -> None:
    database.script_outcomes(call, "hang")

    async def ask_with_timeout() -> object:
        async with asyncio.timeout(0.2):
            return await ASK[call](database)

    with pytest.raises(TimeoutError):
        run(ask_with_timeout())
    assert run(ASK[call](database)) == CORRECT[call]


def test_calls_that_hang_do_not_block_others(database: SandboxDatabase) -> None:
    """There are fewer than a hundred threads, and a locked file would block the other calls."""
    database.inject_faults("homes", {"hang": 1_000})

    async def whole() -> object:
        waiting = [asyncio.ensure_future(ASK["homes"](database)) for _ in range(100)]
        await asyncio.wait(waiting, timeout=1)
        assert not any(one.done() for one in waiting)
        async with asyncio.timeout(5):
            answer = await ASK["insured_months"](database)
        for one in waiting:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        return answer

    assert run(whole()) == CORRECT["insured_months"]


@each_call
def test_a_fault_of_one_call_does_not_affect_the_others(database: SandboxDatabase, call: str) -> None:
    database.inject_faults(call, {"refused": 1_000})
    for other, ask in ASK.items():
        if other != call:
            assert run(ask(database)) == CORRECT[other]
    with pytest.raises(UpstreamRejected):
        run(ASK[call](database))
    database.clear_faults()
    assert run(ASK[call](database)) == CORRECT[call]


def test_a_fault_injected_by_one_process_affects_another(database: SandboxDatabase, tmp_path: Path) -> None:
    database.script_outcomes("homes", "lost_before")
    with pytest.raises(UpstreamTimeout):
        run(ASK["homes"](SandboxDatabase(str(tmp_path / "sandbox.db"))))
    assert run(ASK["homes"](database)) == 1


def test_concurrent_first_requests_to_all_registries_create_their_file_once(tmp_path: Path) -> None:
    async def ask_all(file: str) -> list[object]:
        return await asyncio.gather(*(ask(SandboxDatabase(file)) for ask in ASK.values()))

    for time in range(60):
        assert len(run(ask_all(f"{tmp_path}/{time}.db"))) == len(ASK)


# ── people without records ──


def shares(found: Sequence[object]) -> dict[object, float]:
    return {what: count / len(found) for what, count in Counter(found).items()}


def test_a_synthetic_person_is_the_same_in_every_process(database: SandboxDatabase, tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from integrations._sandbox.database import SandboxDatabase\n"
        "from integrations.education.sandbox import SandboxEducation\n"
        "print([SandboxEducation(SandboxDatabase(sys.argv[1])).known(number) for number in sys.argv[2:]])"
    )
    people = [number for number in CITY[:50] if number[6:10] < "1990"]
    ask = [sys.executable, "-c", program, str(tmp_path / "another.db"), *people]
    output = subprocess.run(ask, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert output.strip() == str([SandboxEducation(database).known(number) for number in people])


def test_synthetic_qualifications_are_confirmed(database: SandboxDatabase) -> None:
    education, employment = SandboxEducation(database), SandboxEmployment(database)
    learned = next(number for number in CITY if education.known(number))
    deserving = next(number for number in CITY if employment.known(number))
    for degree in education.known(learned):
        assert run(education.confirm_degree(learned, "e1", degree)) == Finding("e1", "confirmed")
    for merit in employment.known(deserving):
        assert run(employment.confirm_merit(deserving, "e1", merit)) == Finding("e1", "confirmed")


def test_most_have_no_degree_many_are_bachelors_and_few_are_doctors(database: SandboxDatabase) -> None:
    degrees = [SandboxEducation(database)._synthetic(number) for number in CITY]
    levels = shares([tuple(degree.level for degree in one) for one in degrees])
    assert 0.5 < levels[()] < 0.7
    assert 0.2 < levels["bachelor",] < 0.4
    assert 0.04 < levels["bachelor", "master"] < 0.15
    assert 0.005 < levels["bachelor", "master", "doctor"] < 0.05
    schools = shares([degree.school for one in degrees for degree in one])
    assert schools["ordinary"] > schools["key"] > schools["world_100"] > 0


def test_few_have_a_title_a_prize_or_a_post(database: SandboxDatabase) -> None:
    merits = [SandboxEmployment(database)._synthetic(number) for number in CITY]
    assert 0.85 < shares(merits)[()] < 0.97
    assert {type(merit) for one in merits for merit in one} == {Title, Prize, Post}


def test_nobody_has_qualifications_from_the_future_and_children_have_none(database: SandboxDatabase) -> None:
    graduate = next(number for number in CITY if SandboxEducation(database).known(number))
    assert SandboxEducation(database).known(CHILD) == SandboxEmployment(database).known(CHILD) == ()
    assert run(SandboxSocialInsurance(database).insured_months(CHILD)) == 0
    assert run(SandboxTax(database).tax_year(CHILD, 2025)) == TaxYear(2025, 0, 0)
    (bachelor, *_) = SandboxEducation(database).known(graduate)
    database.clock = lambda: bachelor.awarded_at - timedelta(seconds=1)
    assert SandboxEducation(database).known(graduate) == ()


def test_people_are_insured_for_up_to_25_years_and_own_up_to_two_homes(database: SandboxDatabase) -> None:
    months = [SandboxSocialInsurance(database)._synthetic(number) for number in CITY]
    assert 0 <= min(months) < 10
    assert 290 < max(months) <= 300
    homes = shares([SandboxPropertyRegister(database)._homes._synthesize(number) for number in CITY])
    assert set(homes) == {0, 1, 2}
    assert homes[1] > homes[0] > homes[2]


def test_incomes_are_of_two_kinds_and_taxed_progressively(database: SandboxDatabase) -> None:
    years = [SandboxTax(database)._year(2025)._synthesize(number) for number in CITY]
    usual = [year for year in years if 6_000_000 <= year.income_fen <= 30_000_000]
    top = [year for year in years if year.income_fen > 100_000_000]
    assert len(usual) + len(top) == len(CITY)
    assert 0.01 < len(top) / len(CITY) < 0.06
    ordered = sorted(years, key=lambda year: year.income_fen)
    assert [year.tax_fen for year in ordered] == sorted(year.tax_fen for year in years)
    assert all(year.tax_fen > 0.15 * year.income_fen for year in top)
    assert all(year.tax_fen < 0.15 * year.income_fen for year in usual)


@pytest.mark.parametrize(
    ("income_yuan", "tax_yuan"),
    [(0, 0), (60_000, 0), (96_000, 1_080), (204_000, 11_880), (360_000, 43_080), (1_020_000, 243_080 + 7_000)],
)
def test_income_tax_is_computed_by_brackets(income_yuan: int, tax_yuan: int) -> None:
    """Of 204,000 yuan, 60,000 are free, 36,000 are taxed at 3 percent and 108,000 at 10: 1,080 + 10,800 yuan."""
    from integrations.tax.sandbox import _tax_fen

    assert _tax_fen(income_yuan) == tax_yuan * 100
