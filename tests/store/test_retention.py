"""Documents of a kind end by the retention period in force, or when they say so themselves."""

from datetime import UTC, datetime, timedelta

from backend.store import Store
from backend.store.expiry import delete_expired
from backend.store.time import to_ms
from tests.store.scene import At, Open, Ticket, work_on


def kept(opened: Open, now: datetime, *ages: int, fined: bool = False) -> list[str]:
    """Return which of the tickets of these ages in days a sweep leaves."""

    async def work(store: Store) -> list[str]:
        for age in ages:
            await store.insert(Ticket(id=f"{age}", at_ms=to_ms(now - timedelta(days=age)), fined=fined))
        await delete_expired(At(store, now), Ticket, lambda ticket: not ticket.fined)
        return [ticket.id async for ticket in store.scan(Ticket)]

    return work_on(opened, work)


def test_the_period_in_force_applies_to_documents_of_any_age(opened: Open) -> None:
    assert kept(opened, datetime(2021, 12, 31, tzinfo=UTC), 1, 10, 11, 30, 31) == ["1", "10", "11", "30"]


def test_a_new_law_shortens_the_life_of_older_documents_too(opened: Open) -> None:
    assert kept(opened, datetime(2022, 1, 1, tzinfo=UTC), 1, 10, 11, 30, 31) == ["1", "10"]


def test_before_the_first_law_its_period_applies(opened: Open) -> None:
    assert kept(opened, datetime(2019, 6, 1, tzinfo=UTC), 30, 31) == ["30"]


def test_a_document_that_may_not_end_yet_stays(opened: Open) -> None:
    assert kept(opened, datetime(2022, 1, 1, tzinfo=UTC), 11, fined=True) == ["11"]
