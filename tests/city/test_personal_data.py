"""Every kind of document that names a person is exported and erased by the service that owns it."""

import re
from collections import Counter

import pytest

from backend.app import documents_of
from backend.city.personal_data import of_person
from backend.city.service import PersonalRecords, discover_services
from backend.i18n import Text
from backend.store import Document

SERVICES = discover_services()
KINDS = documents_of(SERVICES)
RECORDS = [records for service in SERVICES if service.personal_data for records in service.personal_data.records]
ERASED = PersonalRecords(kind=Document, title=Text(zh="", en=""), kept=Text(zh="", en=""), find=of_person(Document))
NAMES_OF_PEOPLE = re.compile(r"person|citizen(_id)?|account(_id)?|recipient|subject|patient|payer|claimant")
"""Fields that name a person by the id of their Person or account, in documents that are about somebody."""


def test_each_kind_that_is_about_a_person_has_exactly_one_place_in_an_export() -> None:
    declared = Counter(records.kind for records in RECORDS)
    about_people = {kind for kind in KINDS if kind.retention.names == "a person"}
    assert {kind.__name__ for kind in about_people ^ set(declared)} == set()
    assert set(declared.values()) == {1}


@pytest.mark.parametrize(
    "kind", [kind for kind in KINDS if kind.retention.names == "nobody"], ids=lambda kind: kind.collection
)
def test_a_kind_that_is_about_nobody_has_no_field_that_names_a_person(kind: type[Document]) -> None:
    assert [name for name in kind.__struct_fields__ if NAMES_OF_PEOPLE.fullmatch(name)] == []


def test_what_is_kept_is_kept_for_a_reason_in_both_languages() -> None:
    for records in RECORDS:
        texts = [records.title, records.correct]
        if records.keep_until is not ERASED.keep_until:
            texts.append(records.reason)
        assert all(text.zh and text.en for text in texts), records.kind


def test_an_export_hides_and_decrypts_only_fields_that_exist() -> None:
    for records in RECORDS:
        assert set(records.encrypted) <= set(records.kind.__struct_fields__)
