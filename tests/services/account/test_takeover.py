"""Numbers that somebody else has taken, phones that change, and accounts that are lost and recovered."""

import contextlib
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import httpx
import pytest
from litestar import Litestar
from litestar.testing import TestClient
from msgspec.structs import replace

from backend.city.id_number import IdentityDocument
from backend.city.invented_people import invented_face, invented_id_number, invented_name
from backend.city.notices import Notice
from backend.city.service import City
from backend.services.account.identity_proofs import Proof, prove_identity
from backend.services.account.model.account import Account
from backend.services.account.model.identity import ClaimedIdentity
from backend.services.account.model.identity_case import IdentityCase
from backend.services.account.model.session import Session
from backend.services.account.phones import move_phone
from backend.services.account.ports import IdentityProofing, Presence
from backend.services.account.tasks import sweep_identity_cases
from integrations.identity_proofing.sandbox import SandboxIdentityProofing
from tests.conftest import Clock, newest_code
from tests.services.killing import Killed, KillingStore

Client = TestClient[Litestar]
Headers = dict[str, str]
OLD, NEW, OTHER = "13712345001", "13712345002", "13712345003"
NUMBER = invented_id_number(7, "female", date(1990, 3, 7))
NAME = invented_name(NUMBER)
IDENTITY = {"name": NAME, "id_number": NUMBER}
FACE = IDENTITY | {"method": "face", "evidence": invented_face(NUMBER)}
MINE = invented_id_number(8, "male", date(1980, 1, 1))


class People:
    """Short forms of what people do with their phones and faces."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self.client, self.clock = client, clock
        self.city: City = client.app.state.city

    def call(self, work: Callable[..., Any], *arguments: Any) -> Any:  # noqa: ANN401  whatever the work takes
        assert self.client.blocking_portal is not None
        return self.client.blocking_portal.call(work, *arguments)

    def code(self, phone: str) -> dict[str, str]:
        self.clock.now += timedelta(minutes=2)
        answer = self.client.post("/v1/sign-in-codes", json={"phone": phone})
        assert answer.status_code == 202, answer.text
        return {"challenge": answer.json()["challenge"], "code": newest_code(self.client, phone)}

    def tokens(self, phone: str) -> dict[str, Any]:
        answer = self.client.post("/v1/sessions", json={"phone": phone, **self.code(phone)})
        assert answer.status_code == 201, answer.text
        return answer.json()

    def sign_in(self, phone: str) -> Headers:
        return {"Authorization": f"Bearer {self.tokens(phone)['access_token']}"}

    def verify(self, headers: Headers, **body: Any) -> httpx.Response:  # noqa: ANN401  any JSON
        return self.client.put("/v1/me/real-name", json=IDENTITY | body, headers=headers)

    def prove(self, headers: Headers, **body: Any) -> httpx.Response:  # noqa: ANN401  any JSON
        return self.client.post("/v1/me/identity-proofs", json=FACE | body, headers=headers)

    def verified(self, phone: str) -> Headers:
        return with_token(self.verify(self.sign_in(phone)))

    def present(self, phone: str) -> Headers:
        return with_token(self.prove(self.sign_in(phone)))

    def me(self, headers: Headers) -> dict[str, Any]:
        answer = self.client.get("/v1/me", headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def code_status(self, headers: Headers) -> int:
        return self.client.get("/v1/me/health-code", headers=headers).status_code

    def notices(self, headers: Headers) -> list[str]:
        answer = self.client.get("/v1/me/notices", headers=headers).json()
        return [notice["text"]["zh"] for notice in answer["notices"]]

    def texts(self, phone: str) -> list[str]:
        return self.client.post("/v1/development/outbox", json={"phone": phone}).json()["messages"]

    def stored(self, kind: type[Any]) -> list[Any]:
        async def read() -> list[Any]:
            return [document async for document in self.city.store.scan(kind)]

        return self.call(read)


@pytest.fixture
def people(client: Client, clock: Clock) -> People:
    return People(client, clock)


@pytest.fixture
def registers(people: People) -> SandboxIdentityProofing:
    return people.city.port(IdentityProofing)


def with_token(answer: httpx.Response) -> Headers:
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


def refused(answer: httpx.Response, status: int, name: str) -> None:
    assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{name}"), answer.text


# ── a number that somebody else has ──


def test_a_number_proved_in_person_passes_at_once_from_an_account_that_proves_less(people: People) -> None:
    squatter = people.verified(OLD)
    assert people.code_status(squatter) == 200
    owner = people.present(NEW)
    assert (people.me(owner)["level"], people.code_status(owner)) == (3, 200)
    assert people.code_status(squatter) == 401, "its tokens no longer open the person's record"
    left = people.sign_in(OLD)
    assert (people.me(left)["identity_verified"], people.code_status(left)) == (False, 403)
    assert any("本人当面核验" in text for text in people.notices(left))
    assert any("已转至您的账户" in text for text in people.notices(owner))
    refused(people.verify(left), 403, "identity-not-proved")


def test_whoever_loses_a_number_may_prove_their_own(people: People) -> None:
    people.verified(OLD)
    people.present(NEW)
    left = people.sign_in(OLD)
    own = people.verify(left, name=invented_name(MINE), id_number=MINE)
    assert people.code_status(with_token(own)) == 200


def test_an_account_that_gets_its_number_back_is_admitted_again(people: People) -> None:
    people.verified(OLD)
    people.present(NEW)

    def weaker(account: Account) -> Account:
        return replace(account, level=2)

    async def weaken() -> None:
        for account in [one async for one in people.city.store.scan(Account) if one.citizen_id is not None]:
            await people.city.store.replace(weaker(account))

    people.call(weaken)
    again = people.present(OLD)
    assert people.code_status(again) == 200


def test_between_two_that_were_present_officers_decide(people: People) -> None:
    first = people.present(OLD)
    answer = people.prove(people.sign_in(NEW))
    assert answer.status_code == 200
    assert answer.json()["case_id"] == people.prove(people.sign_in(NEW)).json()["case_id"], "there is one case"
    assert people.me(with_token(answer))["identity_verified"] is False
    assert people.code_status(first) == 200


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("write", range(8))
def test_a_takeover_that_a_crash_interrupts_ends_with_one_holder(people: People, write: int, *, after: bool) -> None:
    squatter = people.verified(OLD)
    people.sign_in(NEW)
    fresh = next(account for account in people.stored(Account) if account.citizen_id is None)
    (session,) = [session for session in people.stored(Session) if session.account_id == fresh.id]
    store = KillingStore(people.city.store)
    store.countdown, store.after = write, after
    killed = replace(people.city, store=store)
    claimed = ClaimedIdentity(NAME, IdentityDocument(NUMBER))

    async def take() -> None:
        with contextlib.suppress(Killed):
            await prove_identity(killed, session, claimed, Proof(Presence("face", invented_face(NUMBER))))

    people.call(take)
    people.call(sweep_identity_cases, people.city)
    holders = [account for account in people.stored(Account) if account.citizen_id is not None]
    assert len(holders) == 1
    done = [case.state for case in people.stored(IdentityCase)]
    assert done in ([], ["done"])
    assert (holders[0].id == fresh.id, holders[0].level) == ((True, 3) if done else (False, 2))
    assert people.code_status(squatter) == (401 if done else 200)
    notices = [notice for notice in people.stored(Notice) if "证件号码" in notice.text.zh]
    assert len(notices) == (2 if done else 0), "each is notified once"


# ── changing the phone ──


def change(people: People, headers: Headers, phone: str, **body: Any) -> httpx.Response:  # noqa: ANN401  any JSON
    return people.client.put("/v1/me/phone", json={"phone": phone, **people.code(phone), **body}, headers=headers)


def code_of_old(people: People, phone: str) -> dict[str, str]:
    code = people.code(phone)
    return {"old_challenge": code["challenge"], "old_code": code["code"]}


def test_a_stolen_token_does_not_change_the_phone(people: People) -> None:
    headers = people.verified(OLD)
    refused(change(people, headers, NEW), 403, "step-up-required")
    wrong = {"old_challenge": "A" * 22, "old_code": "000000"}
    refused(change(people, headers, NEW, **wrong), 400, "wrong-code")


def test_the_phone_changes_with_the_old_phone_which_is_told_and_other_sessions_end(people: People) -> None:
    headers, elsewhere = people.verified(OLD), people.verified(OLD)
    changed = change(people, headers, NEW, **code_of_old(people, OLD))
    assert (changed.status_code, changed.json()["phone"][-4:]) == (200, NEW[-4:])
    assert any("主手机号已更换" in text for text in people.texts(OLD))
    assert any("主手机号已更换" in text for text in people.notices(headers))
    assert people.code_status(headers) == 200
    assert people.code_status(elsewhere) == 401
    assert people.me(people.sign_in(NEW))["id"] == people.me(headers)["id"]


def test_without_the_old_phone_a_proof_in_person_changes_it_for_ten_minutes(people: People, clock: Clock) -> None:
    headers = people.verified(OLD)
    headers = with_token(people.prove(headers))
    clock.now += timedelta(minutes=10)
    headers = {"Authorization": headers["Authorization"]}
    refused(change(people, headers, NEW), 403, "step-up-required")
    headers = with_token(people.prove(headers))
    assert change(people, headers, NEW).status_code == 200


def test_the_old_phone_undoes_a_change_for_seven_days(people: People, clock: Clock) -> None:
    thief = with_token(people.prove(people.verified(OLD)))
    account = people.me(thief)["id"]
    assert change(people, thief, NEW).status_code == 200
    clock.now += timedelta(days=6)
    people.sign_in(OLD)  # which is a fresh account now
    undone = people.client.post("/v1/phone-changes/undo", json={"phone": OLD, **people.code(OLD)})
    assert undone.status_code == 204, undone.text
    restored = people.tokens(OLD)
    assert (restored["account_id"], restored["step_up_needed"]) == (account, True), "the phone may be a thief's"
    assert people.me(people.sign_in(NEW))["id"] != account
    owner = with_token(people.verify({"Authorization": f"Bearer {restored['access_token']}"}))
    assert people.code_status(owner) == 200
    assert people.client.get("/v1/me/health-code", headers=thief).status_code == 401
    clock.now += timedelta(hours=2)  # a phone gets few messages an hour
    again = people.client.post("/v1/phone-changes/undo", json={"phone": OLD, **people.code(OLD)})
    refused(again, 404, "nothing-to-undo")


def test_after_seven_days_a_change_cannot_be_undone(people: People, clock: Clock) -> None:
    headers = with_token(people.prove(people.sign_in(OLD)))
    assert change(people, headers, NEW).status_code == 200
    clock.now += timedelta(days=7)
    undone = people.client.post("/v1/phone-changes/undo", json={"phone": OLD, **people.code(OLD)})
    refused(undone, 404, "nothing-to-undo")


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("write", range(6))
def test_a_change_that_a_crash_interrupts_is_told_and_ends_other_sessions(
    people: People, clock: Clock, write: int, *, after: bool
) -> None:
    headers, elsewhere = people.verified(OLD), people.verified(OLD)
    (account,) = people.stored(Account)
    kept = max(people.stored(Session), key=lambda session: session.created)
    store = KillingStore(people.city.store)
    store.countdown, store.after = write, after

    async def move() -> None:
        with contextlib.suppress(Killed):
            await move_phone(replace(people.city, store=store), account, f"+86{NEW}", kept.id)

    people.call(move)
    clock.now += timedelta(seconds=1)
    people.call(sweep_identity_cases, people.city)
    (account,) = people.stored(Account)
    has_changed = account.former_phone is not None
    assert account.untold_ms is None
    assert len(people.stored(Session)) == (1 if has_changed else 2)
    assert len(people.stored(Notice)) == (1 if has_changed else 0)
    assert {people.code_status(headers), people.code_status(elsewhere)} == ({200, 401} if has_changed else {200})


# ── a phone that was given to somebody else ──


@pytest.fixture
def passed_on(people: People, clock: Clock) -> Headers:
    """Return the headers with which the new owner of a phone is signed in after 90 days of silence."""
    people.present(OLD)
    clock.now += timedelta(days=91)
    tokens = people.tokens(OLD)
    assert (tokens["step_up_needed"], tokens["identity_verified"]) == (True, False)
    return {"Authorization": f"Bearer {tokens['access_token']}"}


def test_the_new_owner_of_a_phone_sees_nothing_of_the_old_one(people: People, passed_on: Headers) -> None:
    me = people.me(passed_on)
    assert (me["identity_verified"], me["name"], me["id_number"], me["level"]) == (False, None, None, 1)
    assert people.code_status(passed_on) == 403
    assert people.notices(passed_on) == []
    refused(change(people, passed_on, NEW, **code_of_old(people, OLD)), 403, "step-up-required")
    own = people.verify(passed_on, name=invented_name(MINE), id_number=MINE)
    refused(own, 403, "identity-not-proved")


def test_the_new_owner_takes_a_fresh_account_and_the_old_one_keeps_its_data(people: People, passed_on: Headers) -> None:
    old = people.me(passed_on)["id"]
    answer = people.client.post("/v1/me/fresh-account", headers=passed_on)
    assert answer.status_code == 201, answer.text
    fresh = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    assert people.me(fresh)["id"] != old
    own = with_token(people.verify(fresh, name=invented_name(MINE), id_number=MINE))
    assert people.code_status(own) == 200
    (kept,) = [account for account in people.stored(Account) if account.id == old]
    assert (kept.phone, kept.level) == (None, 3)
    recovered = with_token(people.prove(people.sign_in(NEW), recover=True))
    assert people.me(recovered)["id"] == old
    assert people.code_status(recovered) == 200
    assert any("现由他人使用" in text for text in people.notices(recovered))


def test_the_owner_who_was_silent_opens_their_account_with_name_and_number(people: People, passed_on: Headers) -> None:
    headers = with_token(people.verify(passed_on))
    assert (people.me(headers)["level"], people.code_status(headers)) == (2, 200)
    assert people.me(with_token(people.prove(headers)))["level"] == 3
    refused(people.client.post("/v1/me/fresh-account", headers=headers), 409, "phone-proved")


def test_a_phone_that_the_carrier_gave_to_somebody_else_opens_nothing(
    people: People, registers: SandboxIdentityProofing, clock: Clock
) -> None:
    people.present(OLD)
    clock.now += timedelta(days=30)
    registers.assign_phone(f"+86{OLD}", MINE, since=(clock.now - timedelta(days=2)).date())
    tokens = people.tokens(OLD)
    assert tokens["step_up_needed"] is True
    refused(people.verify({"Authorization": f"Bearer {tokens['access_token']}"}), 403, "identity-not-proved")


def test_whoever_lost_their_phone_recovers_the_account_by_their_face(people: People) -> None:
    lost = people.present(OLD)
    account = people.me(lost)["id"]
    recovered = with_token(people.prove(people.sign_in(NEW), recover=True))
    assert (people.me(recovered)["id"], people.me(recovered)["level"]) == (account, 3)
    assert people.code_status(recovered) == 200
    assert people.code_status(lost) == 401
    assert any("主手机号已更换" in text for text in people.texts(OLD))
    assert people.me(people.sign_in(NEW))["id"] == account


def test_a_bank_card_recovers_no_account(people: People) -> None:
    refused(people.prove(people.sign_in(NEW), recover=True, method="bank_card"), 400, "invalid-request")


def test_a_restricted_session_stays_restricted_when_it_is_renewed(people: People, clock: Clock) -> None:
    people.present(OLD)
    clock.now += timedelta(days=91)
    tokens = people.tokens(OLD)
    renewed = people.client.post("/v1/sessions/refresh", json={"refresh_token": tokens["refresh_token"]}).json()
    assert renewed["step_up_needed"] is True
    assert people.code_status({"Authorization": f"Bearer {renewed['access_token']}"}) == 403
