"""Identity proofing: what the registers confirm, and the levels that an account reaches by it."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import httpx
import pytest
from litestar import Litestar
from litestar.testing import TestClient

from backend.city.invented_people import invented_face, invented_id_number, invented_name, phone_of_place
from backend.city.person import Person
from backend.services.account.model.account import Account
from backend.services.account.model.identity import MAX_PROOFS_PER_DAY
from backend.services.account.ports import IdentityProofing
from integrations.identity_proofing.sandbox import SandboxIdentityProofing, card_of
from tests.conftest import Clock, SignIn

Client = TestClient[Litestar]
Headers = dict[str, str]
ANNA, BEN, CARL = "13912345678", "13712345002", "13712345003"
NUMBER = invented_id_number(7, "female", date(1990, 3, 7))
NAME, PHONE = invented_name(NUMBER), phone_of_place(7)
IDENTITY = {"name": NAME, "id_number": NUMBER}
FACE = {"method": "face", "evidence": invented_face(NUMBER)}
CARD = {"method": "bank_card", "evidence": card_of(NUMBER)}


@pytest.fixture
def registers(client: Client) -> SandboxIdentityProofing:
    return client.app.state.city.port(IdentityProofing)


def verify(client: Client, headers: Headers, **body: Any) -> httpx.Response:  # noqa: ANN401  any JSON
    return client.put("/v1/me/real-name", json=IDENTITY | body, headers=headers)


def prove(client: Client, headers: Headers, **body: Any) -> httpx.Response:  # noqa: ANN401  any JSON
    return client.post("/v1/me/identity-proofs", json=IDENTITY | FACE | body, headers=headers)


def with_token(answer: httpx.Response) -> Headers:
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


def level(client: Client, headers: Headers) -> int:
    return client.get("/v1/me", headers=headers).json()["level"]


def refused(answer: httpx.Response, status: int, name: str) -> None:
    assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{name}"), answer.text


def people(client: Client) -> int:
    city = client.app.state.city
    return client.blocking_portal.call(city.store.count, Person, {})


def what_is_seen(answer: httpx.Response) -> tuple[int, Any, Sequence[str]]:
    """Return what a caller sees of an answer, without the id of the request."""
    body = {name: value for name, value in answer.json().items() if name != "request_id"}
    return answer.status_code, body, sorted(set(answer.headers) - {"x-request-id"})


# ── levels ──


def test_a_fresh_phone_reaches_the_third_level_with_two_requests(client: Client, sign_in: SignIn) -> None:
    headers = sign_in(BEN)
    assert level(client, headers) == 1
    headers = with_token(verify(client, headers))
    assert level(client, headers) == 2
    assert level(client, with_token(prove(client, headers))) == 3


@pytest.mark.parametrize(
    ("given", "reaches"),
    [({}, 1), ({"real-name": {}}, 2), ({"identity-proofs": FACE}, 3), ({"identity-proofs": CARD}, 3)],
)
def test_each_service_opens_at_its_level(
    client: Client, sign_in: SignIn, given: dict[str, dict[str, str]], reaches: int
) -> None:
    headers = sign_in(BEN)
    for path, body in given.items():
        method = "PUT" if path == "real-name" else "POST"
        headers = with_token(client.request(method, f"/v1/me/{path}", json=IDENTITY | body, headers=headers))
    code = client.get("/v1/me/health-code", headers=headers)
    credit = client.post("/v1/me/medical-credit", json={"agreement": "-", "i_agree": False}, headers=headers)
    account = client.put("/v1/me/talent/account", json={"number": "6222600000000000004"}, headers=headers)
    claim = client.post("/v1/me/claims", json={"benefit": "none"}, headers=headers | {"Idempotency-Key": "claim-0001"})
    for answer, needed in ((code, 2), (credit, 3), (account, 3), (claim, 3)):
        is_refused = answer.json().get("type") == "/problems/step-up-required"
        assert is_refused == (reaches < needed), answer.text
        if is_refused:
            assert (answer.status_code, answer.json()["level"], answer.json()["present_level"]) == (
                403,
                needed,
                reaches,
            )


def test_a_step_up_takes_effect_with_the_token_in_its_answer(client: Client, sign_in: SignIn) -> None:
    headers = sign_in(BEN)
    refusal = client.get("/v1/me/health-code", headers=headers).json()["step_up"]
    answer = client.request(refusal["method"], refusal["path"], json=IDENTITY, headers=headers)
    assert client.get("/v1/me/health-code", headers=with_token(answer)).status_code == 200


def test_a_proof_is_never_lowered_by_a_weaker_one(client: Client, sign_in: SignIn) -> None:
    headers = with_token(prove(client, sign_in(BEN)))
    assert level(client, with_token(verify(client, headers))) == 3


# ── what the registers refuse ──


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "张三丰"},
        {"id_number": invented_id_number(8, "female", date(1990, 3, 7))},
        {"evidence": "face:somebody"},
        {"evidence": invented_face(invented_id_number(8, "female", date(1990, 3, 7)))},
        {"method": "bank_card", "evidence": "6214000000000000"},
    ],
)
def test_what_the_registers_do_not_confirm_is_not_proved(
    client: Client, sign_in: SignIn, wrong: dict[str, str]
) -> None:
    headers = sign_in(BEN)
    refused(prove(client, headers, **wrong), 403, "identity-not-proved")
    assert (level(client, headers), people(client)) == (1, 0)


def test_a_name_and_a_number_that_leaked_are_not_enough_for_somebody_elses_phone(
    client: Client, sign_in: SignIn, registers: SandboxIdentityProofing
) -> None:
    registers.assign_phone(f"+86{BEN}", invented_id_number(8, "male", date(1980, 1, 1)))
    refused(verify(client, sign_in(BEN)), 403, "identity-not-proved")
    refused(verify(client, sign_in(phone_of_place(8))), 403, "identity-not-proved")
    assert people(client) == 0
    assert level(client, with_token(verify(client, sign_in(PHONE)))) == 2


def test_a_bank_card_needs_the_phone_that_its_bank_knows(
    client: Client, sign_in: SignIn, registers: SandboxIdentityProofing
) -> None:
    registers.assign_phone(f"+86{BEN}", invented_id_number(8, "male", date(1980, 1, 1)))
    headers = sign_in(BEN)
    refused(prove(client, headers, **CARD), 403, "identity-not-proved")
    assert level(client, with_token(prove(client, headers))) == 3, "a face needs no phone"


@pytest.mark.parametrize(
    ("kind", "number"),
    [
        ("passport", "EA1234567"),
        ("permanent_residence_card", "933840198501010015"),
        ("hong_kong_macao_travel_permit", "H12345678"),
        ("taiwan_travel_permit", "01234567"),
    ],
)
def test_other_documents_are_proved_by_the_register_too(
    client: Client, sign_in: SignIn, registers: SandboxIdentityProofing, kind: str, number: str
) -> None:
    registers.register(f"{kind}:{number}", "SMITH JOHN")
    body = {"id_number": number, "document_kind": kind, "evidence": invented_face(f"{kind}:{number}")}
    headers = sign_in(BEN)
    refused(
        verify(client, headers, id_number=number, document_kind=kind, name="SMITH JANE"), 403, "identity-not-proved"
    )
    headers = with_token(verify(client, headers, id_number=number, document_kind=kind, name="SMITH JOHN"))
    assert level(client, with_token(prove(client, headers, name="SMITH JOHN", **body))) == 3


@pytest.mark.parametrize("outcome", ["lost_before", "lost_after", "hang"])
def test_registers_that_do_not_answer_are_asked_again_later(
    client: Client,
    sign_in: SignIn,
    registers: SandboxIdentityProofing,
    outcome: Any,  # noqa: ANN401  a CallOutcome
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("backend.city.upstream.UPSTREAM_TIMEOUT_SECONDS", 0.5)
    registers.database.script_outcomes("agrees", outcome)
    registers.database.script_outcomes("is_present", outcome)
    headers = sign_in(BEN)
    for ask in (verify, prove):
        answer = ask(client, headers)
        refused(answer, 503, "upstream-unavailable")
        assert answer.headers["Retry-After"] == "60"
    assert level(client, with_token(verify(client, headers))) == 2


def test_a_register_that_rejects_the_query_confirms_nothing(
    client: Client, sign_in: SignIn, registers: SandboxIdentityProofing
) -> None:
    registers.database.script_outcomes("agrees", "refused")
    refused(verify(client, sign_in(BEN)), 403, "identity-not-proved")


def test_an_account_proves_an_identity_a_limited_number_of_times_a_day(
    client: Client, sign_in: SignIn, clock: Clock
) -> None:
    headers = sign_in(BEN)
    for _ in range(MAX_PROOFS_PER_DAY):
        refused(verify(client, headers, name="张三丰"), 403, "identity-not-proved")
    answer = verify(client, headers)
    refused(answer, 429, "too-many-requests")
    clock.now += timedelta(seconds=int(answer.headers["Retry-After"]))
    assert verify(client, sign_in(BEN)).status_code == 200


# ── nobody learns whether a number is registered ──


def test_the_refusal_of_a_registered_number_is_that_of_a_failed_proof_word_for_word(
    client: Client, sign_in: SignIn
) -> None:
    with_token(verify(client, sign_in(PHONE)))
    stranger = sign_in(CARL)
    other = invented_id_number(9, "female", date(1990, 3, 7))
    registered, free = verify(client, stranger), verify(client, stranger, id_number=other)
    assert (registered.status_code, what_is_seen(registered)) == (403, what_is_seen(free))


def test_probing_leaves_no_record_of_a_person(client: Client, sign_in: SignIn) -> None:
    headers = sign_in(CARL)
    for place in range(5):
        number = invented_id_number(place, "female", date(1990, 3, 7))
        refused(verify(client, headers, id_number=number, name="李小四"), 403, "identity-not-proved")
    assert people(client) == 0


def test_a_failed_proof_reads_the_same_whether_or_not_the_number_is_registered(
    client: Client, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_token(verify(client, sign_in(PHONE)))
    stranger = sign_in(CARL)
    store = client.app.state.city.store
    calls: list[str] = []

    def counted(name: str) -> Any:  # noqa: ANN401  a method of the store
        method = getattr(store, name)

        async def call(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401  whatever the method takes
            calls.append(name)
            return await method(*arguments, **options)

        return call

    for name in ("get", "find", "insert", "replace"):
        monkeypatch.setattr(store, name, counted(name))
    steps: list[list[str]] = []
    for number in (NUMBER, invented_id_number(9, "female", date(1990, 3, 7))):
        calls.clear()
        refused(verify(client, stranger, id_number=number, name="李小四"), 403, "identity-not-proved")
        steps.append(list(calls))
    assert steps[0] == steps[1]


# ── accounts that were named before names were proved ──


def test_a_name_that_was_given_before_names_were_proved_counts_as_the_first_level(
    client: Client, sign_in: SignIn
) -> None:
    headers = with_token(verify(client, sign_in(PHONE)))
    city = client.app.state.city
    account_id = client.get("/v1/me", headers=headers).json()["id"]

    async def as_before() -> None:
        from msgspec.structs import replace

        account = await city.store.get(Account, account_id)
        await city.store.replace(replace(account, level=1))

    client.blocking_portal.call(as_before)
    headers = sign_in(PHONE)
    refused(client.get("/v1/me/health-code", headers=headers), 403, "step-up-required")
    me = client.get("/v1/me", headers=headers).json()
    assert (me["identity_verified"], me["name"], me["id_number"]) == (False, None, None)
    assert client.get("/v1/me/health-code", headers=with_token(verify(client, headers))).status_code == 200
