"""Let people change their phone and undo that, and start again with a phone that had another owner."""

from litestar import post, put
from litestar.di import NamedDependency
from litestar.params import JSONBody

from backend.city.notices import notify
from backend.city.service import City
from backend.security.identity import (
    IN_PERSON,
    SIGNED_IN,
    CitizenRequest,
    StepUpRequired,
    budgeted,
    signed_in,
    step_up_required,
)
from backend.security.rate_limits import Charge
from backend.services.account.accounts import find_or_create_account, own_account, phone_digest_of
from backend.services.account.api.details import details_of, tokens_of
from backend.services.account.api.schemas import AccountDetails, PhoneChangeRequest, PhoneUndoRequest, Tokens
from backend.services.account.devices import AnyRequest, admission_of, record_use
from backend.services.account.model.account import Account, InvalidPhone, PhoneInUse, parse_phone
from backend.services.account.model.budgets import ATTEMPTS
from backend.services.account.model.phone import (
    FRESH_PROOF,
    PHONE_PASSED_ON,
    NothingToUndo,
    PhoneProved,
    without_phone,
)
from backend.services.account.model.session import Session, SessionEnded
from backend.services.account.model.sign_in import CodeExhausted, WrongCode
from backend.services.account.phones import move_phone, undo_move
from backend.services.account.sessions import end_session, live_session, start_session
from backend.services.account.sign_in_codes import verify_phone
from backend.store import Duplicate
from backend.store.update import update_document


@put(
    "/v1/me/phone",
    guards=[signed_in],
    problems=(InvalidPhone, WrongCode, CodeExhausted, PhoneInUse, SessionEnded, StepUpRequired),
)
async def change_phone(
    data: JSONBody[PhoneChangeRequest], request: CitizenRequest, city: NamedDependency[City]
) -> AccountDetails:
    """Change the main phone of the caller's account; a code proves that the caller holds the new phone.

    A code to the old phone, or a proof in person in the last ten minutes, proves that the account is the caller's. The
    old phone is notified and may undo the change for seven days. Other sessions of the account end.
    """
    phone = parse_phone(data.phone, city.settings.phone_region)
    session, account = await live_session(city, request.user.session_id), await own_account(city, request)
    await _check_owner(city, account, session, data)
    await verify_phone(city, phone, data.challenge, data.code)
    try:
        changed = await move_phone(city, account, phone, session.id)
    except Duplicate:
        raise _phone_in_use() from None
    return await details_of(city, changed, session.max_level)


async def _check_owner(city: City, account: Account, session: Session, data: PhoneChangeRequest) -> None:
    """Check that the caller has the old phone or has just proved in person who they are. Raises StepUpRequired."""
    if session.max_level == SIGNED_IN:
        raise step_up_required(IN_PERSON, session.max_level)  # the phone itself may be a stranger's
    if data.old_challenge is not None and data.old_code is not None and account.phone is not None:
        old = city.encryption.read(account, "phone")
        await verify_phone(city, old, data.old_challenge, data.old_code)
    elif session.proved_at is None or city.now() - session.proved_at >= FRESH_PROOF:
        raise step_up_required(IN_PERSON, min(account.level, session.max_level))


@post(
    "/v1/phone-changes/undo",
    guards=[budgeted],
    status_code=204,
    problems=(InvalidPhone, WrongCode, CodeExhausted, PhoneInUse, NothingToUndo),
)
async def undo_phone_change(data: JSONBody[PhoneUndoRequest], request: AnyRequest, city: NamedDependency[City]) -> None:
    """Make the former phone of an account its main phone again, within seven days, with a code that was sent to it.

    All sessions of the account end. Signing in with the former phone then opens the account as before.
    """
    admission = admission_of(request)
    await admission.spend(request.scope, [Charge(ATTEMPTS, await admission.origin(request.scope))])
    phone = parse_phone(data.phone, city.settings.phone_region)
    await verify_phone(city, phone, data.challenge, data.code)
    try:
        restored = await undo_move(city, phone)
    except Duplicate:
        raise _phone_in_use() from None
    if restored is None:
        raise NothingToUndo(
            zh="该手机号近7天内没有更换过。", en="No account has changed from this phone in the last seven days."
        )


@post("/v1/me/fresh-account", guards=[signed_in], problems=(SessionEnded, PhoneProved))
async def take_fresh_account(request: CitizenRequest, city: NamedDependency[City]) -> Tokens:
    """Begin an account of one's own with a phone that had another owner, whose account keeps its data without a phone.

    It is for sessions with `step_up_needed` only. The former owner recovers their account by their face.
    """
    session, account = await live_session(city, request.user.session_id), await own_account(city, request)
    if session.max_level > SIGNED_IN or account.phone is None:
        raise PhoneProved(zh="该手机号已是您本人账户的手机号。", en="The account of this phone is yours.")
    phone = city.encryption.read(account, "phone")
    digest = phone_digest_of(city, phone)
    await notify(city, account.citizen_id or account.id, f"phones/{session.id}/passed_on", PHONE_PASSED_ON)
    await update_document(
        city.store, lambda: city.store.get(Account, account.id), lambda found: without_phone(found, digest), account
    )
    fresh = await record_use(city, await find_or_create_account(city, phone), session.device)
    token = await start_session(city, fresh, session.device, session.device_name, session.device_kind)
    await end_session(city, session.id)
    return await tokens_of(request, city, fresh, token)


def _phone_in_use() -> PhoneInUse:
    return PhoneInUse(
        zh="该手机号已是其他账户的主手机号，请换一个手机号，或用该手机号登录。",
        en="The phone is the main phone of another account; use another phone, or sign in with this one.",
    )
