"""Handlers for family payers: the patient requests a consent, the payer agrees, and either can end it."""

from litestar import delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from backend.city.id_number import IdentityDocument, InvalidIdNumber
from backend.city.service import City
from backend.paylater.account import open_account
from backend.paylater.details import FamilyConsents, FamilyPayerRequest, family_consent_details
from backend.paylater.family import agree, consents_of, end_consent, family_bills, request_consent
from backend.paylater.problems import NotEnrolled, TooManyFamilyPayers
from backend.security.identity import CitizenRequest, citizen, citizen_id
from backend.services.medical_credit.api.schemas import VisitList, visit_summaries
from backend.services.medical_credit.eligibility import find_person_id, terms_of
from backend.services.medical_credit.model.enrolment import Enrolment, FamilyPayer
from backend.services.medical_credit.model.visit import Visit


@post("/v1/me/family", guards=[citizen], status_code=202, problems=(NotEnrolled, TooManyFamilyPayers, InvalidIdNumber))
async def request_family_payer(
    data: JSONBody[FamilyPayerRequest], request: CitizenRequest, city: NamedDependency[City]
) -> None:
    """Ask a family member to pay for the caller. The response does not disclose whether the city knows the person."""
    patient = (await open_account(city, Enrolment, citizen_id(request))).id
    payer = await find_person_id(city, IdentityDocument(data.id_number, data.document_kind))
    await request_consent(city, FamilyPayer, terms_of(city, city.now()), patient, payer, data.relation)


@get("/v1/me/family", guards=[citizen])
async def list_family_consents(request: CitizenRequest, city: NamedDependency[City]) -> FamilyConsents:
    """List the family payers of the caller, and the patients for whom the caller pays or is asked to pay."""
    person = citizen_id(request)
    payers = await consents_of(city, FamilyPayer, "patient", person)
    patients = await consents_of(city, FamilyPayer, "payer", person)
    found = [family_consent_details(one, "patient") for one in payers]
    return FamilyConsents(found + [family_consent_details(one, "payer") for one in patients])


@put("/v1/me/family/{consent_id:str}/agreement", guards=[citizen])
async def agree_to_pay(
    request: CitizenRequest, city: NamedDependency[City], consent_id: FromPath[str]
) -> FamilyConsents:
    """Agree to pay for the patient who requested it."""
    consent = await agree(city, FamilyPayer, consent_id, citizen_id(request))
    return FamilyConsents([family_consent_details(consent, "payer")])


@delete("/v1/me/family/{consent_id:str}", guards=[citizen])
async def end_family_consent(request: CitizenRequest, city: NamedDependency[City], consent_id: FromPath[str]) -> None:
    """End a consent, as patient or payer; payments already made are not affected."""
    await end_consent(city, FamilyPayer, consent_id, citizen_id(request))


@get("/v1/me/family-bills", guards=[citizen])
async def list_family_bills(request: CitizenRequest, city: NamedDependency[City]) -> VisitList:
    """List the unpaid visits of the patients for whom the caller agreed to pay."""
    visits = await family_bills(city, FamilyPayer, Visit, citizen_id(request))
    return VisitList(await visit_summaries(city, visits), None)
