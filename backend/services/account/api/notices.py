"""Let people read their notices."""

from datetime import datetime

from litestar import get, put
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody

from backend.city.notices import Notice, count_unread, mark_read, mark_read_up_to, notices_of
from backend.city.service import City
from backend.problems import NotFound
from backend.security.identity import CitizenRequest, signed_in
from backend.services.account.accounts import own_account
from backend.services.account.api.privacy_schemas import NoticeDetails, NoticeList, ReadUpTo, UnreadNotices
from backend.services.account.model.identity import is_verified
from backend.services.account.model.session import SessionEnded
from backend.store.time import from_ms

PAGE = 50


@get("/v1/me/notices", guards=[signed_in], problems=(SessionEnded,))
async def list_notices(
    request: CitizenRequest, city: NamedDependency[City], cursor: FromQuery[str | None] = None
) -> NoticeList:
    """List the notices of all services to the caller, newest first; each event has one."""
    recipients = await _recipients(city, request)
    page = await notices_of(city, recipients, cursor, PAGE)
    kept = Notice.retention.length(city.now())
    return NoticeList(
        [NoticeDetails(one.id, one.text, _at(one), one.read, _at(one) + kept) for one in page.documents],
        await count_unread(city, recipients),
        page.cursor,
    )


@put("/v1/me/notices/{notice_id:str}/read", guards=[signed_in], problems=(SessionEnded, NotFound))
async def read_notice(notice_id: FromPath[str], request: CitizenRequest, city: NamedDependency[City]) -> UnreadNotices:
    """Mark one notice as read; repeating it changes nothing."""
    recipients = await _recipients(city, request)
    notice = await _own_notice(city, recipients, notice_id)
    await mark_read(city, notice.id)
    return UnreadNotices(await count_unread(city, recipients))


@put("/v1/me/notices/read", guards=[signed_in], problems=(SessionEnded, NotFound))
async def read_notices(data: JSONBody[ReadUpTo], request: CitizenRequest, city: NamedDependency[City]) -> UnreadNotices:
    """Mark a notice and all older ones as read. Notices that came in since then stay unread."""
    recipients = await _recipients(city, request)
    await mark_read_up_to(city, recipients, await _own_notice(city, recipients, data.up_to))
    return UnreadNotices(await count_unread(city, recipients))


async def _recipients(city: City, request: CitizenRequest) -> list[str]:
    """Return the ids by which notices reach the caller: those of their Person and of their account.

    A caller who has only the phone of somebody else's account gets none.
    """
    account = await own_account(city, request)
    if request.user.citizen_id is None:
        return [] if is_verified(account) else [account.id]
    return [request.user.citizen_id, account.id]


async def _own_notice(city: City, recipients: list[str], notice_id: str) -> Notice:
    """Return a notice to one of these recipients. Raises NotFound for any other."""
    notice = await city.store.get(Notice, notice_id)
    if notice is None or notice.recipient not in recipients:
        raise NotFound(zh="没有找到该通知。", en="This notice was not found.")
    return notice


def _at(notice: Notice) -> datetime:
    return from_ms(notice.at_ms)
