"""Let people see and end their sessions, export their data, and close their account."""

from litestar import delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from backend.city.service import City, Subject
from backend.problems import NotFound
from backend.security.identity import CitizenRequest, StepUpRequired, signed_in
from backend.services.account.accounts import proved_account
from backend.services.account.api.privacy_schemas import (
    AccountClosed,
    ClosurePreview,
    PersonalExport,
    SessionDetails,
    SessionList,
)
from backend.services.account.closures import close_account, kept_records, open_matters
from backend.services.account.export import exported_records
from backend.services.account.model.account import standing_of
from backend.services.account.model.closure import MattersOpen
from backend.services.account.model.session import Session, SessionEnded
from backend.services.account.sessions import end_session_of_device, sessions_of
from backend.store.time import from_ms
from backend.web.uncached import NO_STORE, Uncached

# ── sessions ──


@get("/v1/me/sessions", guards=[signed_in], problems=(SessionEnded, StepUpRequired))
async def list_sessions(request: CitizenRequest, city: NamedDependency[City]) -> SessionList:
    """List the devices on which the caller is signed in."""
    await proved_account(city, request)
    current = request.user.session_id
    return SessionList([_details(one, current) for one in await sessions_of(city, request.user.account_id)])


@delete("/v1/me/sessions/{session_id:str}", guards=[signed_in], problems=(SessionEnded, StepUpRequired, NotFound))
async def end_one_session(session_id: FromPath[str], request: CitizenRequest, city: NamedDependency[City]) -> None:
    """Sign a device of the caller out: its refresh token is no longer valid, and the account forgets its key."""
    await proved_account(city, request)
    session = await city.store.get(Session, session_id)
    if session is None or session.account_id != request.user.account_id:
        raise NotFound(zh="没有找到该设备的登录记录。", en="This session was not found.")
    await end_session_of_device(city, session)


@delete("/v1/me/sessions", guards=[signed_in], problems=(SessionEnded, StepUpRequired))
async def end_other_sessions(request: CitizenRequest, city: NamedDependency[City]) -> None:
    """Sign out all devices of the caller but the one that sends this request."""
    await proved_account(city, request)
    for session in await sessions_of(city, request.user.account_id):
        if session.id != request.user.session_id:
            await end_session_of_device(city, session)


def _details(session: Session, current: str) -> SessionDetails:
    return SessionDetails(
        id=session.id,
        current=session.id == current,
        device_name=session.device_name,
        device_kind=session.device_kind,
        created=session.created,
        last_used=session.last_used,
        expires_at=from_ms(session.expires_ms),
    )


# ── own data ──


@get("/v1/me/export", guards=[signed_in], response_headers=NO_STORE, problems=(SessionEnded, StepUpRequired))
async def export_data(request: CitizenRequest, city: NamedDependency[City]) -> Uncached[PersonalExport]:
    """Export all that the city holds on the caller, in every service, with how to have it corrected."""
    subject = await _subject(city, request)
    return Uncached(PersonalExport(city.now(), subject.account, subject.person, await exported_records(city, subject)))


@get("/v1/me/closure", guards=[signed_in], problems=(SessionEnded, StepUpRequired))
async def preview_closure(request: CitizenRequest, city: NamedDependency[City]) -> ClosurePreview:
    """Show what must be settled before the caller closes their account, and what would be kept afterwards."""
    subject = await _subject(city, request)
    return ClosurePreview(await open_matters(city, subject), await kept_records(city, subject))


@post("/v1/me/closure", guards=[signed_in], status_code=200, problems=(SessionEnded, StepUpRequired, MattersOpen))
async def close_proved_account(request: CitizenRequest, city: NamedDependency[City]) -> AccountClosed:
    """Close the caller's account: all sessions end at once, and data are erased as far as no law keeps them.

    It is refused while money or a case is open. Signing in with the same phone then creates a new account.
    """
    subject = await _subject(city, request)
    kept = await kept_records(city, subject)
    closure = await close_account(city, subject)
    return AccountClosed(closure.requested_at, from_ms(closure.erase_ms), kept)


async def _subject(city: City, request: CitizenRequest) -> Subject:
    account = await proved_account(city, request)
    return Subject(account.id, standing_of(account).citizen_id)
