"""Let people prove who they are: by name, number and phone, or in person."""

from litestar import post, put
from litestar.di import NamedDependency
from litestar.params import JSONBody

from backend.city.id_number import InvalidIdNumber, parse_id_number
from backend.city.name import InvalidName, parse_name
from backend.city.service import City
from backend.city.upstream import UpstreamUnavailable
from backend.problems import FieldError, InvalidRequest
from backend.security.identity import CitizenRequest, signed_in
from backend.services.account.api.details import details_of
from backend.services.account.api.schemas import IdentityProofRequest, IdentityVerificationRequest, ProvedAccount
from backend.services.account.identity_proofs import Proof, Proved, prove_identity
from backend.services.account.model.identity import (
    ClaimedIdentity,
    IdentityAlreadyVerified,
    IdentityMismatch,
    IdentityNotProved,
)
from backend.services.account.model.session import SessionEnded
from backend.services.account.ports import Presence
from backend.services.account.sessions import issue_access_token, live_session

PROOF_PROBLEMS = (
    InvalidName,
    InvalidIdNumber,
    IdentityMismatch,
    IdentityNotProved,
    IdentityAlreadyVerified,
    SessionEnded,
    UpstreamUnavailable,
)


@put("/v1/me/real-name", guards=[signed_in], problems=PROOF_PROBLEMS)
async def verify_identity(
    data: JSONBody[IdentityVerificationRequest], request: CitizenRequest, city: NamedDependency[City]
) -> ProvedAccount:
    """Verify the caller's identity once (level 2): name, number and the account's phone must be of one person.

    The registers of the population and of the carrier decide; repeating the same request is safe. If the number does
    not tell sex and birth date, they may be given; services for an age need the birth date. The access token in the
    response opens the routes that only citizens may use.
    """
    session = await live_session(city, request.user.session_id)
    return await _answer(city, request, await prove_identity(city, session, _claimed(city, data), Proof()))


@post("/v1/me/identity-proofs", guards=[signed_in], status_code=200, problems=PROOF_PROBLEMS)
async def prove_in_person(
    data: JSONBody[IdentityProofRequest], request: CitizenRequest, city: NamedDependency[City]
) -> ProvedAccount:
    """Prove in person who the caller is (level 3): by a check of their face, or by a bank card and its phone.

    The number passes at once from an account that has proved less. If another account has proved it in person as well,
    two officers decide, and the response names their case. With `recover`, the caller's face opens that account:
    it gets the caller's phone, its former phone is notified, and its other sessions end. The access token in the
    response has the new level.
    """
    if data.recover and data.method != "face":
        en, zh = "An account is recovered by a face.", "找回账户须通过人脸识别。"
        raise InvalidRequest(zh=zh, en=en, errors=(FieldError("/recover", en, zh),))
    session = await live_session(city, request.user.session_id)
    proof = Proof(Presence(data.method, data.evidence), data.recover)
    return await _answer(city, request, await prove_identity(city, session, _claimed(city, data), proof))


def _claimed(city: City, data: IdentityVerificationRequest) -> ClaimedIdentity:
    name = parse_name(data.name)
    document = parse_id_number(data.id_number, city.today(), kind=data.document_kind)
    return ClaimedIdentity(name, document, data.sex, data.born_on)


async def _answer(city: City, request: CitizenRequest, proved: Proved) -> ProvedAccount:
    token = issue_access_token(city, request, proved.account, proved.session)
    return ProvedAccount(
        await details_of(city, proved.account, proved.session.max_level),
        token,
        city.settings.access_token_seconds,
        None if proved.case is None else proved.case.id,
    )
