"""Export what the city holds on a person."""

from backend.city.personal_data import PersonalRecords, Subject, personal_data_of
from backend.city.service import City
from backend.services.account.api.privacy_schemas import ExportedRecords


async def exported_records(city: City, subject: Subject) -> list[ExportedRecords]:
    """Return the records of all services about a person, by service and kind."""
    return [
        await _exported(city, service, records, subject)
        for service, data in personal_data_of(city).items()
        for records in data.records
    ]


async def _exported(city: City, service: str, records: PersonalRecords, subject: Subject) -> ExportedRecords:
    found = [records.shown(city, document) async for document in records.find(city, subject)]
    kind = records.kind
    return ExportedRecords(service, kind.collection, records.title, records.correct, kind.retention.ends, found)
