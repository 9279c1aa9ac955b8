"""A fictional service uses the engine, with crashes, two processes whose clocks differ, and an unreliable bank."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from msgspec.structs import replace

from backend.app import documents_of, open_city
from backend.city.service import City, Service, discover_integrations, discover_services
from backend.i18n import Text
from backend.paylater.family import agree, end_consent, family_bills, may_pay, request_consent
from backend.paylater.ports import Bank, BankEntry
from backend.paylater.statement import compare_transfers, missing_at_bank
from backend.paylater.transfers import pay, record_bank_answer
from backend.problems import Problem
from backend.settings import Settings
from backend.store import Conflict
from tests.conftest import ROOT, Clock
from tests.draws import draws
from tests.keys import new_keys
from tests.paylater import pool
from tests.paylater.pool import LIMIT_FEN, Companion, Swim, Swimmer, swim_saga
from tests.paylater.unreliable_bank import UnreliableBank
from tests.services.killing import Killed, KillingStore
from tests.state_machines import run_state_machine

pytestmark = pytest.mark.slow

T = TypeVar("T")
NOON = datetime(2026, 3, 2, 4, 0, tzinfo=UTC)
EXAMPLES = draws(150, soak=3_000)
SKEW = timedelta(seconds=45)
PLACES, FEN, PROCESS = st.integers(0, 9), st.integers(1, 20_000), st.integers(0, 1)


class World:
    """Two processes of one city, whose clocks differ."""

    def __init__(self, folder: Path) -> None:
        self.runner = asyncio.Runner()
        self.clocks = [Clock(NOON), Clock(NOON + SKEW)]
        self.bank, self.serial, self.swim_count = UnreliableBank(), count(1), 0
        self.cities = self.run(lambda: self._open(folder))

    async def _open(self, folder: Path) -> list[City]:
        service = Service(
            name="pool", title=Text(zh="泳池", en="Pool"), routes=[], documents=[Swimmer, Swim, Companion]
        )
        services = [*discover_services(), service]
        values = Settings(
            store=f"sqlite:///{folder}/city.db",
            keys=new_keys(folder / "keys"),
            rules=str(ROOT / "rules"),
            sandbox=str(folder / "sandbox.db"),
        )
        assert Swim in documents_of(services)
        city = open_city(values, services, discover_integrations("integrations"))
        self.store = KillingStore(city.store)
        ports = {**city.ports, Bank: self.bank}
        return [replace(city, store=self.store, ports=ports, clock=clock) for clock in self.clocks]

    def run(self, work: Callable[[], Awaitable[T]]) -> T:
        async def whole() -> T:
            return await work()

        return self.runner.run(whole())


@pytest.fixture(scope="module", autouse=True)
def world() -> Iterator[World]:
    with tempfile.TemporaryDirectory() as folder:
        PoolMachine.world = world = World(Path(folder))
        yield world
        world.run(world.cities[0].store.close)
        world.runner.close()


class PoolMachine(RuleBasedStateMachine):
    """People swim, prices are corrected, people pay; bank and processes fail; then all steps finish."""

    world: ClassVar[World]

    @initialize(automatic=st.booleans())
    def people(self, automatic: bool) -> None:
        world = self.world
        world.clocks[0].now, world.clocks[1].now = NOON, NOON + SKEW
        world.bank.script.clear()
        world.store.countdown = None
        self.swims: list[str] = []
        self.persons = [f"p{next(world.serial)}" for _ in range(2)]
        for person in self.persons:
            world.run(lambda person=person: pool.register(world.cities[0], person, automatic_debit=automatic))

    def _do(self, process: int, work: Callable[[City], Awaitable[Any]]) -> None:
        self.world.bank.now = self.world.clocks[process].now
        with suppress(Problem, Conflict, Killed):
            self.world.run(lambda: work(self.world.cities[process]))

    def _swim_id(self, place: int) -> str:
        return self.swims[place % len(self.swims)]

    @rule(process=PROCESS, who=PLACES, kind=st.sampled_from(["swim", "lesson"]), fen=FEN, runs=st.booleans())
    def enters(self, process: int, who: int, kind: Literal["swim", "lesson"], fen: int, runs: bool) -> None:
        swim_id = f"swim-{next(self.world.serial)}"
        self.swims.append(swim_id)
        self.world.swim_count += 1
        self._do(process, lambda city: pool.enter(city, swim_id, self.persons[who % 2], kind, fen))
        if runs:
            self.advances(process, len(self.swims) - 1)

    @rule(process=PROCESS, who=PLACES, kind=st.sampled_from(["swim", "lesson"]), fen=FEN, pays=st.booleans())
    def a_whole_swim_takes_place(
        self, process: int, who: int, kind: Literal["swim", "lesson"], fen: int, pays: bool
    ) -> None:
        self.enters(process, who, kind, fen, runs=True)
        place = len(self.swims) - 1
        self.leaves_or_is_corrected(process, place, fen, runs=True)
        if pays:
            self.pays(process, place, who, "a", everything=True)

    @precondition(lambda self: self.swims)
    @rule(process=PROCESS, place=PLACES, fen=st.integers(0, 40_000), runs=st.booleans())
    def leaves_or_is_corrected(self, process: int, place: int, fen: int, runs: bool) -> None:
        self._do(process, lambda city: pool.set_price(city, self._swim_id(place), fen))
        if runs:
            self.advances(process, place)

    @precondition(lambda self: self.swims)
    @rule(process=PROCESS, place=PLACES)
    def cancels(self, process: int, place: int) -> None:
        self._do(process, lambda city: pool.cancel(city, self._swim_id(place)))

    @precondition(lambda self: self.swims)
    @rule(process=PROCESS, place=PLACES, who=PLACES, key=st.sampled_from(["a", "b"]), everything=st.booleans())
    def pays(self, process: int, place: int, who: int, key: str, everything: bool) -> None:
        swim, clock = self._get(self._swim_id(place)), self.world.clocks[process]
        if swim is None:
            return
        fen = swim.owed_fen() if everything else swim.payable_now_fen(clock.now)
        scope: Literal["all", "now"] = "all" if everything else "now"
        self._do(process, lambda city: pay(city, swim_saga, swim, self.persons[who % 2], key, fen, scope))

    @precondition(lambda self: self.swims)
    @rule(process=PROCESS, place=PLACES)
    def the_bank_decides_late_and_answers_twice(self, process: int, place: int) -> None:
        self.world.bank.decide_pending()
        swim = self._get(self._swim_id(place))
        for transfer in (*swim.payments, *swim.refunds) if swim is not None else ():
            answer = self.world.bank.answer(transfer.id)
            for _ in range(2):
                self._do(
                    process,
                    lambda city, one=transfer.id, answer=answer: record_bank_answer(city, swim_saga, one, answer),
                )

    @precondition(lambda self: self.swims)
    @rule(process=PROCESS, place=PLACES)
    def advances(self, process: int, place: int) -> None:
        self._do(process, lambda city: swim_saga.resume(city, self._swim_id(place)))

    @precondition(lambda self: self.swims)
    @rule(place=PLACES, fen=FEN)
    def both_processes_advance_at_once(self, place: int, fen: int) -> None:
        swim_id, (first, second) = self._swim_id(place), self.world.cities

        async def at_once(_city: City) -> None:
            works = (
                swim_saga.resume(first, swim_id),
                pool.set_price(second, swim_id, fen),
                swim_saga.resume(second, swim_id),
            )
            await asyncio.gather(*works, return_exceptions=True)

        self._do(0, at_once)

    @rule(process=PROCESS, minutes=st.sampled_from([1, 2, 60 * 12, 60 * 49, 60 * 24 * 31]))
    def time_passes(self, process: int, minutes: int) -> None:
        for clock in self.world.clocks:
            clock.now += timedelta(minutes=minutes)
        self._sweep(process)

    @rule(outcome=st.sampled_from(["lost_before", "lost_after", "refused", "pending"]))
    def a_call_will_fail(self, outcome: Literal["lost_before", "lost_after", "refused", "pending"]) -> None:
        self.world.bank.script.append(outcome)

    @rule(countdown=st.integers(0, 4), after=st.booleans())
    def a_process_will_be_killed(self, countdown: int, after: bool) -> None:
        self.world.store.countdown, self.world.store.after = countdown, after

    def _sweep(self, process: int) -> None:
        now_ms = int(self.world.clocks[process].now.timestamp() * 1_000)
        for swim in self._all():
            if swim.due_ms is not None and swim.due_ms <= now_ms:
                self._do(process, lambda city, key=swim.id: swim_saga.resume(city, key))

    def _get(self, swim_id: str) -> Swim | None:
        return self.world.run(lambda: self.world.store.get(Swim, swim_id))

    def _all(self) -> list[Swim]:
        return list(self.world.run(lambda: self.world.store.get_many(Swim, self.swims)).values()) if self.swims else []

    def _accounts(self) -> dict[str, Swimmer]:
        return self.world.run(lambda: self.world.store.get_many(Swimmer, self.persons))

    @invariant()
    def the_limit_is_kept_and_nobody_pays_twice_at_once(self) -> None:
        if not hasattr(self, "persons"):
            return
        for account in self._accounts().values():
            for line in account.credit.values():
                assert line.held_fen(self.world.clocks[0].now) + line.used_fen() <= LIMIT_FEN
        for swim in self._all():
            assert sum(payment.state == "requested" for payment in swim.payments) <= 1

    def teardown(self) -> None:
        if not hasattr(self, "persons"):
            return
        world = self.world
        world.bank.script.clear()
        world.bank.decide_pending()
        world.store.countdown = None
        for _ in range(300):
            due = [swim.due_ms for swim in self._all() if swim.due_ms is not None]
            if not due:
                break
            at = datetime.fromtimestamp(min(due) / 1_000, UTC) + timedelta(milliseconds=1)
            for clock in world.clocks:
                clock.now = max(clock.now, at)
            self._sweep(0)
        accounts, swims = self._accounts(), self._all()
        statement = self._statement(swims)
        assert not list(compare_transfers(swims, statement, world.cities[0].rulebook.time_zone))
        assert not list(missing_at_bank(swims, statement, NOON, NOON + timedelta(days=10_000)))
        for swim in swims:
            self._is_finished(swim, accounts[swim.person])

    def _statement(self, swims: list[Swim]) -> list[BankEntry]:
        """Return the bank's transfers, dated by the answer: here processes may hear of them days later."""
        answered = {one.id: one.answered_at for swim in swims for one in swim.transfers()}
        ours = [entry for entry in self.world.bank.transfers.values() if entry.id.partition("/")[0] in self.swims]
        return [replace(entry, at=answered.get(entry.id) or entry.at) for entry in ours]

    def _is_finished(self, swim: Swim, account: Swimmer) -> None:
        assert swim.due_ms is None, swim
        assert swim.stage() in ("open", "billed", "paid", "cancelled"), swim
        assert swim.owed_fen() >= 0, "nobody has paid more than the bill"
        assert all(one.applied for one in swim.payments if one.state == "paid")
        assert all(one.applied for one in swim.refunds if one.state == "done")
        assert all(notice.sent for notice in swim.notices)
        line = account.credit.get("swimming")
        holds = [hold for hold in line.holds if hold.id.startswith(f"{swim.id}/")] if line is not None else []
        if swim.stage() == "open":
            assert swim.hold_placed
            return
        assert sum(hold.due_fen() for hold in holds) == swim.payable_fen(), swim
        assert sum(hold.owed_fen() for hold in holds) == swim.owed_fen(), swim
        assert sum(hold.held_fen(self.world.clocks[0].now) for hold in holds) == 0
        if swim.bill is not None:
            assert swim.bill.cash_fen == swim.prices[-1].amount_fen
            assert swim.bill.cash_fen == swim.bill.covered_fen + swim.bill.exception_fen + swim.bill.counter_fen


def test_every_fen_is_accounted_for(world: World) -> None:
    def minimum_counts() -> dict[str, bool]:
        return {
            "swims": world.swim_count >= 2 * EXAMPLES,
            "transfers": len(world.bank.transfers) >= EXAMPLES / 2,
            "kills": world.store.kills >= EXAMPLES / 10,
        }

    try:
        run_state_machine(PoolMachine, EXAMPLES, minimum_counts)
    finally:
        counts = f"{world.swim_count} swims, {world.store.kills} kills, {len(world.bank.transfers)} transfers"
        print(f"{counts}, {dict(world.bank.happened)}")  # noqa: T201  shown by -s


def test_a_companion_pays_once_they_agreed(world: World) -> None:
    city, swimmer, payer = world.cities[0], f"p{next(world.serial)}", f"p{next(world.serial)}"

    async def whole() -> None:
        await pool.register(city, swimmer, automatic_debit=False)
        await request_consent(city, Companion, pool.TERMS.__getitem__, swimmer, payer, "child")
        assert not await may_pay(city, Companion, payer, swimmer)
        consent = await world.store.find(Companion, {"payer": payer, "live": True})
        await agree(city, Companion, consent.documents[0].id, payer)
        assert await may_pay(city, Companion, payer, swimmer)
        swim_id = f"swim-{next(world.serial)}"
        await pool.enter(city, swim_id, swimmer, "swim", 1_000)
        await pool.set_price(city, swim_id, 700)
        billed = await swim_saga.resume(city, swim_id)
        assert billed is not None
        assert [one.id for one in await family_bills(city, Companion, Swim, payer)] == [swim_id]
        paid = await pay(city, swim_saga, billed, payer, "key", 700, "now")
        assert (paid.stage(), paid.payments[0].method) == ("paid", "family")
        await end_consent(city, Companion, consent.documents[0].id, swimmer)
        assert not await may_pay(city, Companion, payer, swimmer)

    world.store.countdown = None
    world.bank.script.clear()
    world.run(whole)
