"""Documents that the migrations of pay later do not change, and queries by renamed fields."""

import pytest

from backend.services.medical_credit.model.hospital import EligibilityAnswer
from backend.services.medical_credit.model.visit import Visit
from backend.store import Order, Store
from backend.store.migrations import migrate
from tests.conftest import work_in
from tests.migrations.medical_credit import EXAMPLES, NOON, NOON_MS
from tests.migrations.test_history import insert_raw, migration_called

PAYMENTS = migration_called("0017_rename_fields_of_answered_payments").change


@pytest.mark.parametrize(
    ("kind", "name", "ordered"),
    [
        (Visit, "0010_rename_fields_of_visits", "bank_answered_ms"),
        (EligibilityAnswer, "0014_rename_fields_of_eligibility_answers", "created_ms"),
    ],
)
def test_a_document_is_found_by_its_renamed_field(
    address: str, kind: type[Visit | EligibilityAnswer], name: str, ordered: str
) -> None:
    before = next(before for migration, before, _ in EXAMPLES if migration == name)
    work_in(address, lambda store: store.count(kind, {}))
    insert_raw(address, kind.collection, before)

    async def work(store: Store) -> None:
        await migrate(store, [migration_called(name)], lambda _migration, _seen: None)
        order = Order(ordered, at_least=NOON_MS, below=NOON_MS + 1)
        page = await store.find(kind, {"hospital": "HZ001"}, order=order)
        assert [one.id for one in page.documents] == [before["id"]]

    work_in(address, work)


def test_a_stored_problem_has_its_new_name() -> None:
    problem = {"kind": "PaymentInFlight", "detail": {"zh": "请勿重复支付。", "en": "Do not pay twice."}}
    body = {"id": "k", "revision": 1, "started_at": NOON, "answer": None, "problem": problem}
    assert PAYMENTS(body) == body | {"problem": problem | {"kind": "PaymentInProgress"}}


@pytest.mark.parametrize("answer", [None, '{"id":"c","stage":"waiting"}'])
def test_answers_of_other_services_stay_as_they_are(answer: str | None) -> None:
    assert PAYMENTS({"id": "k", "revision": 1, "answer": answer, "problem": None}) is None
