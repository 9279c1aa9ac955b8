"""Export what the city holds on a person."""

from typing import Any

import msgspec

from backend.city.personal_data import personal_data_of
from backend.city.service import City, PersonalRecords, Subject
from backend.services.account.api.privacy_schemas import ExportedRecords
from backend.store import Document

INTERNAL = frozenset({"revision", "due_ms", "failures", "acts", "acts_due_ms"})
"""Fields that describe the storage of a document, and not a person."""


async def exported_records(city: City, subject: Subject) -> list[ExportedRecords]:
    """Return the records of all services about a person, by service and kind."""
    return [
        await _exported(city, service, records, subject)
        for service, data in personal_data_of(city).items()
        for records in data.records
    ]


async def _exported(city: City, service: str, records: PersonalRecords, subject: Subject) -> ExportedRecords:
    found = [_shown(city, records, document) async for document in records.find(city, subject)]
    kind = records.kind
    return ExportedRecords(service, kind.collection, records.title, records.correct, records.kept, found)


def _shown(city: City, records: PersonalRecords, document: Document) -> dict[str, Any]:
    """Return a document as it is exported: without what describes its storage, and with its texts decrypted."""
    values: dict[str, Any] = msgspec.to_builtins(document)
    shown = {name: value for name, value in values.items() if name not in INTERNAL and name not in records.hidden}
    for name in records.encrypted:
        if shown.get(name) is not None:
            shown[name] = city.encryption.read(document, name)
    return shown
