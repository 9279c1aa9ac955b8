"""People read their notices: newest first, in pages, in both languages; each event has one, and it ends."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from backend.city.notices import Notice, notify, pushes
from backend.city.service import City
from backend.city.upstream import Notifications, UpstreamRejected, UpstreamTimeout
from backend.i18n import Text
from backend.services.account.tasks import sweep_notices, sweep_sessions
from tests.conftest import Clock, SignIn
from tests.services.health_code.scene import problem, stored

Client = TestClient[Litestar]
Headers = dict[str, str]
BILL = Text(zh="您的账单已生成。", en="Your bill is ready.")


def call(client: Client, work: Callable[..., Awaitable[Any]], *arguments: object) -> Any:  # noqa: ANN401  any result
    return client.blocking_portal.call(work, client.app.state.city, *arguments)


def account_of(client: Client, headers: Headers) -> str:
    return client.get("/v1/me", headers=headers).json()["id"]


def send(client: Client, headers: Headers, count: int, clock: Clock) -> None:
    """Send numbered notices to a caller's account, a second apart."""
    recipient = account_of(client, headers)
    for number in range(count):
        clock.now += timedelta(seconds=1)
        call(client, notify, recipient, f"test/{number}", Text(zh=f"第{number}条", en=f"No. {number}"))


def listed(client: Client, headers: Headers, cursor: str | None = None) -> dict[str, Any]:
    answer = client.get("/v1/me/notices", params={"cursor": cursor} if cursor else {}, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


def english(page: dict[str, Any]) -> list[str]:
    return [notice["text"]["en"] for notice in page["notices"]]


def test_a_notice_is_shown_in_both_languages_with_its_end(client: Client, sign_in: SignIn) -> None:
    wang = sign_in("13800138000")
    call(client, notify, account_of(client, wang), "visits/1/bill", BILL)
    [notice] = listed(client, wang)["notices"]
    assert notice["text"] == {"zh": BILL.zh, "en": BILL.en}
    assert (notice["at"], notice["kept_until"]) == ("2022-04-20T04:00:00Z", "2022-10-17T04:00:00Z")
    assert notice["read"] is False


def test_an_event_has_one_notice_however_often_it_is_reported(client: Client, sign_in: SignIn) -> None:
    wang = sign_in("13800138000")
    recipient = account_of(client, wang)

    async def report(city: City) -> None:
        await asyncio.gather(*(notify(city, recipient, "visits/1/bill", BILL) for _ in range(20)))

    call(client, report)
    call(client, notify, recipient, "visits/1/bill", Text(zh="不同的文字", en="Another text"))
    call(client, notify, recipient, "visits/2/bill", BILL)
    assert english(listed(client, wang)) == [BILL.en, BILL.en]


def test_one_event_may_have_a_notice_for_each_of_two_people(client: Client, sign_in: SignIn) -> None:
    wang, li = sign_in("13800138000"), sign_in("13800138001")
    for person in (wang, li):
        call(client, notify, account_of(client, person), "identity/1", BILL)
    assert [len(listed(client, person)["notices"]) for person in (wang, li)] == [1, 1]


def test_notices_come_newest_first_in_pages_without_gap_or_repetition(
    client: Client, sign_in: SignIn, clock: Clock
) -> None:
    wang = sign_in("13800138000")
    send(client, wang, 120, clock)
    pages = [listed(client, wang)]
    while pages[-1]["cursor"] is not None:
        pages.append(listed(client, wang, pages[-1]["cursor"]))
    assert [len(page["notices"]) for page in pages] == [50, 50, 20]
    assert [text for page in pages for text in english(page)] == [f"No. {number}" for number in reversed(range(120))]
    assert {page["unread"] for page in pages} == {120}


def test_notices_to_the_account_and_to_its_person_are_one_list(client: Client, sign_in: SignIn, clock: Clock) -> None:
    wang = sign_in("13800138000")
    account = account_of(client, wang)
    call(client, notify, account, "before", Text(zh="前", en="before"))
    wang = sign_in("13800138000", name="王芳")
    person = client.app.state.access.claims(wang["Authorization"].encode(), clock.now.timestamp()).cit
    for number in range(60):
        clock.now += timedelta(seconds=1)
        call(client, notify, person if number % 2 else account, f"{number}", Text(zh="事", en=f"{number}"))
    first = listed(client, wang)
    second = listed(client, wang, first["cursor"])
    assert english(first) + english(second) == [*(f"{number}" for number in reversed(range(60))), "before"]
    assert (first["unread"], second["cursor"]) == (61, None)


def test_a_cursor_of_another_person_is_refused(client: Client, sign_in: SignIn, clock: Clock) -> None:
    wang, li = sign_in("13800138000"), sign_in("13800138001")
    send(client, wang, 51, clock)
    cursor = listed(client, wang)["cursor"]
    problem(client.get("/v1/me/notices", params={"cursor": cursor}, headers=li), 400, "invalid-request")


# ── reading ──


def test_one_notice_is_marked_as_read_once(client: Client, sign_in: SignIn, clock: Clock) -> None:
    wang = sign_in("13800138000")
    send(client, wang, 3, clock)
    notice = listed(client, wang)["notices"][1]["id"]
    for _ in range(2):
        assert client.put(f"/v1/me/notices/{notice}/read", headers=wang).json() == {"unread": 2}
    assert [one["read"] for one in listed(client, wang)["notices"]] == [False, True, False]


def test_all_notices_up_to_one_are_marked_as_read(client: Client, sign_in: SignIn, clock: Clock) -> None:
    wang = sign_in("13800138000")
    send(client, wang, 230, clock)
    newest_seen = listed(client, wang)["notices"][2]["id"]
    assert client.put("/v1/me/notices/read", json={"up_to": newest_seen}, headers=wang).json() == {"unread": 2}
    assert [one["read"] for one in listed(client, wang)["notices"][:4]] == [False, False, True, True]


def test_nobody_reads_or_marks_the_notices_of_others(client: Client, sign_in: SignIn, clock: Clock) -> None:
    wang, li = sign_in("13800138000"), sign_in("13800138001")
    send(client, wang, 1, clock)
    notice = listed(client, wang)["notices"][0]["id"]
    assert listed(client, li) == {"notices": [], "unread": 0, "cursor": None}
    problem(client.put(f"/v1/me/notices/{notice}/read", headers=li), 404, "not-found")
    problem(client.put("/v1/me/notices/read", json={"up_to": notice}, headers=li), 404, "not-found")
    problem(client.put("/v1/me/notices/unknown/read", headers=wang), 404, "not-found")
    assert listed(client, wang)["unread"] == 1


def test_notices_are_deleted_after_half_a_year_however_many(client: Client, sign_in: SignIn, clock: Clock) -> None:
    wang = sign_in("13800138000")
    send(client, wang, 40, clock)
    clock.now += timedelta(days=180, seconds=-19.5)
    call(client, sweep_sessions)
    assert len(stored(client, Notice)) == 20


# ── phones ──


class Provider:
    """Pushes notices, unless it does not answer or refuses; records what reached a phone, by the notice's id."""

    def __init__(self) -> None:
        self.answers: list[type[Exception]] = []
        self.pushed: dict[str, str] = {}
        self.calls = 0

    async def notify(self, notice: str, _recipient: str, text: Text) -> None:
        self.calls += 1
        if self.answers:
            raise self.answers.pop(0)
        self.pushed[notice] = text.zh


@pytest.fixture
def provider(client: Client) -> Provider:
    provider = Provider()
    client.app.state.city.ports[Notifications] = provider
    return provider


def after(client: Client, clock: Clock, **span: float) -> None:
    """Let time pass, and sweep."""

    async def wait(city: City) -> None:
        while city.jobs.waiting():  # noqa: ASYNC110  the queue does not signal when it is empty
            await asyncio.sleep(0.01)

    call(client, wait)
    clock.now += timedelta(**span)
    call(client, sweep_notices)


def test_a_kept_notice_is_pushed_to_the_phone_once(
    client: Client, sign_in: SignIn, clock: Clock, provider: Provider
) -> None:
    call(client, notify, account_of(client, sign_in("13800138000")), "visits/1/bill", BILL)
    for _ in range(3):
        after(client, clock, minutes=1)
    assert (list(provider.pushed.values()), provider.calls) == ([BILL.zh], 1)


def test_a_provider_that_does_not_answer_delays_the_push_and_nothing_else(
    client: Client, sign_in: SignIn, clock: Clock, provider: Provider
) -> None:
    provider.answers = [UpstreamTimeout, UpstreamTimeout]
    wang = sign_in("13800138000")
    call(client, notify, account_of(client, wang), "visits/1/bill", BILL)
    assert english(listed(client, wang)) == [BILL.en]
    after(client, clock, minutes=1)
    after(client, clock, minutes=1)
    assert (list(provider.pushed.values()), provider.calls) == ([BILL.zh], 3)


def test_a_push_that_is_refused_is_not_repeated(
    client: Client, sign_in: SignIn, clock: Clock, provider: Provider
) -> None:
    provider.answers = [UpstreamRejected]
    wang = sign_in("13800138000")
    call(client, notify, account_of(client, wang), "visits/1/bill", BILL)
    for _ in range(3):
        after(client, clock, hours=1)
    assert (provider.pushed, provider.calls) == ({}, 1)
    assert english(listed(client, sign_in("13800138000"))) == [BILL.en], "it is kept"


def test_a_push_is_abandoned_after_a_day(client: Client, sign_in: SignIn, clock: Clock, provider: Provider) -> None:
    provider.answers = [UpstreamTimeout] * 100
    call(client, notify, account_of(client, sign_in("13800138000")), "visits/1/bill", BILL)
    for _ in range(30):
        after(client, clock, hours=1)
    calls = provider.calls
    provider.answers = []
    after(client, clock, hours=2)
    assert (provider.calls, provider.pushed) == (calls, {})
    assert [(notice.push, notice.due_ms) for notice in stored(client, Notice)] == [("abandoned", None)]


def test_a_push_that_a_crash_prevented_is_made_by_the_sweep(
    client: Client, sign_in: SignIn, clock: Clock, provider: Provider
) -> None:
    recipient = account_of(client, sign_in("13800138000"))

    async def crash(city: City) -> None:
        await pushes.start(
            city, Notice(id="n", recipient=recipient, text=BILL, at_ms=int(clock.now.timestamp()) * 1_000)
        )

    call(client, crash)
    after(client, clock, seconds=20)
    assert provider.calls == 0, "the request that keeps a notice pushes it, too"
    after(client, clock, seconds=20)
    assert provider.pushed == {"n": BILL.zh}
