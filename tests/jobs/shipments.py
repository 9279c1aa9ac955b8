"""A fictional saga for the tests of the engine: a shipment is weighed, priced, booked with a carrier and announced."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import ClassVar, Literal, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from backend.jobs.in_process import NullQueue
from backend.jobs.saga import DUE, Decision, Request, Saga, SagaDocument, backoff
from backend.jobs.tasks import Job, TaskReference
from backend.store import Index, Store
from backend.store.due import SweepLeases
from backend.store.time import to_ms
from tests.counting_store import CountingStore

T = TypeVar("T")
Step = Literal["weigh", "choose_tariff", "price", "book", "look_up", "announce", "discard"]
Open = Callable[[], Store]

NOON = datetime(2026, 3, 2, 4, 0, tzinfo=UTC)
LOOK_UP_AFTER_MS = 60_000


class Booking(Struct, frozen=True):
    """A request to the carrier; its answer is `number`."""

    key: str
    asked_ms: int
    number: int | None = None


class Shipment(SagaDocument, kw_only=True):
    """A shipment. If it is `held`, a person must request its booking; other processes write the `note`."""

    collection: ClassVar[str] = "shipments"
    indexes: ClassVar[tuple[Index, ...]] = (DUE,)

    weight_g: int | None = None
    tariff: str | None = None
    price_fen: int | None = None
    booking: Booking | None = None
    announced: bool = False
    held: bool = False
    cancelled: bool = False
    note: str = ""


KINDS = [Shipment, SweepLeases]


class CarrierUnavailable(Exception):
    """The carrier did not answer."""


class Carrier:
    """Books once per key. `plan` lists the outcomes of its next calls: the request or its answer may be lost."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self.calls: list[str] = []
        self.plan: deque[Literal["works", "down", "answer lost"]] = deque()

    def call(self, name: str) -> bool:
        """Record a call and return whether its answer arrives. Raises CarrierUnavailable if the carrier is down."""
        self.calls.append(name)
        outcome = self.plan.popleft() if self.plan else "works"
        if outcome == "down":
            raise CarrierUnavailable("the carrier is down")
        return outcome == "works"

    def book(self, key: str) -> int:
        """Return the number of the booking with this key."""
        answered = self.call("book")
        number = self.numbers.setdefault(key, len(self.numbers) + 1)
        if not answered:
            raise CarrierUnavailable("the answer was lost")
        return number

    def look_up(self, key: str) -> int | None:
        """Return the number of the booking with this key, or None if there is none."""
        self.call("look_up")
        return self.numbers.get(key)


class Queue(NullQueue):
    """Records the enqueued jobs."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []

    async def put(self, job: Job, *, delay_seconds: float = 0) -> None:
        assert not delay_seconds
        self.jobs.append(job)


class PostOffice:
    """The context of the saga: a store that counts calls, a queue, a clock that tests set, and the carrier.

    `steps` lists the completed steps in order. A function in `meanwhile` runs once, during the step of its name.
    """

    def __init__(self, store: Store, now: datetime = NOON) -> None:
        self.store = CountingStore(store)
        self.uncounted = store
        self.jobs = Queue()
        self.carrier = Carrier()
        self.at = now
        self.steps: list[tuple[str, str]] = []
        self.meanwhile: dict[str, Callable[[], Awaitable[object]]] = {}

    def now(self) -> datetime:
        return self.at

    def reads(self) -> int:
        """Return the number of times that shipments were read."""
        return sum(self.store.calls[method, "Shipment"] for method in ("get", "get_many", "find", "count"))

    def writes(self) -> int:
        """Return the number of times that shipments were written."""
        return sum(self.store.calls[method, "Shipment"] for method in ("insert", "replace", "delete"))

    async def during(self, step: str, shipment: Shipment) -> None:
        """Record a step, and run the function that is planned for it."""
        self.steps.append((step, shipment.id))
        event = self.meanwhile.pop(step, None)
        if event is not None:
            await event()


class Terms(Struct, frozen=True):
    """The terms on which decisions depend."""

    fen_per_g: int = 2


def next_step(shipment: Shipment, now: datetime, _terms: Terms) -> Step | None:
    if shipment.cancelled:
        return "discard"
    if shipment.weight_g is None:
        return "weigh"
    if shipment.tariff is None:
        return "choose_tariff"
    if shipment.price_fen is None:
        return "price"
    if shipment.booking is None:
        return None if shipment.held else "book"
    if shipment.booking.number is None:
        return "look_up" if to_ms(now) >= look_up_ms(shipment.booking) else None
    return None if shipment.announced else "announce"


def look_up_ms(booking: Booking) -> int:
    return booking.asked_ms + LOOK_UP_AFTER_MS


def schedule(shipment: Shipment, now: datetime, terms: Terms) -> Shipment:
    due_ms = None
    if next_step(shipment, now, terms) is not None:
        due_ms = to_ms(now + backoff(shipment.failures) if shipment.failures else now)
    elif shipment.booking is not None and shipment.booking.number is None:
        due_ms = look_up_ms(shipment.booking)
    return shipment if shipment.due_ms == due_ms else replace(shipment, due_ms=due_ms)


async def weigh(office: PostOffice, shipment: Shipment, _now: datetime) -> Shipment:
    await office.during("weigh", shipment)
    office.carrier.call("weigh")
    return replace(shipment, weight_g=500, failures=0)


def choose_tariff(shipment: Shipment, _now: datetime, _terms: Terms) -> Shipment:
    return replace(shipment, tariff="parcel")


def price(shipment: Shipment, _now: datetime, terms: Terms) -> Shipment:
    assert shipment.weight_g is not None
    return replace(shipment, price_fen=shipment.weight_g * terms.fen_per_g)


def prepare_booking(shipment: Shipment, now: datetime, _terms: Terms) -> Shipment:
    if shipment.booking is not None:
        return shipment
    return replace(shipment, booking=Booking(f"book:{shipment.id}", to_ms(now)))


async def send_booking(office: PostOffice, shipment: Shipment, _now: datetime) -> Shipment:
    await office.during("book", shipment)
    booking = shipment.booking
    if booking is None or booking.number is not None:
        return shipment
    return replace(shipment, booking=replace(booking, number=office.carrier.book(booking.key)), failures=0)


async def look_up(office: PostOffice, shipment: Shipment, _now: datetime) -> Shipment:
    await office.during("look_up", shipment)
    assert shipment.booking is not None
    number = office.carrier.look_up(shipment.booking.key)
    found = None if number is None else replace(shipment.booking, number=number)
    return replace(shipment, booking=found, failures=0)


async def announce(office: PostOffice, shipment: Shipment, _now: datetime) -> Shipment:
    await office.during("announce", shipment)
    return replace(shipment, announced=True)


async def discard(office: PostOffice, shipment: Shipment, _now: datetime) -> None:
    await office.during("discard", shipment)
    await office.store.delete(shipment)


BOOK = Request(prepare_booking, send_booking)

SAGA = Saga[PostOffice, Shipment, Terms, Step](
    kind=Shipment,
    next_step=next_step,
    schedule=schedule,
    terms=lambda _office, _now: Terms(),
    steps={
        "weigh": weigh,
        "choose_tariff": Decision(choose_tariff),
        "price": Decision(price),
        "book": BOOK,
        "look_up": look_up,
        "announce": announce,
        "discard": discard,
    },
    task=TaskReference("post.send_shipment"),
    unavailable=(CarrierUnavailable,),
)


def in_office(opened: Open, work: Callable[[PostOffice], Awaitable[T]]) -> T:
    """Open the store, run `work` in a post office in a new event loop, and close the store."""

    async def run() -> T:
        store = opened()
        try:
            return await work(PostOffice(store))
        finally:
            await store.close()

    return asyncio.run(run())


async def stored(office: PostOffice, shipment_id: str = "1") -> Shipment:
    """Return the stored shipment; this read is not counted."""
    found = await office.uncounted.get(Shipment, shipment_id)
    assert found is not None
    return found


async def add_note(office: PostOffice) -> None:
    """Change the shipment as another process does."""
    found = await stored(office)
    await office.uncounted.replace(replace(found, note=found.note + "!"))
