"""Let auditors read the log; each reading is an entry itself."""

from datetime import date
from typing import Annotated

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromQuery
from msgspec import Meta

from backend.city.audit_log import AuditEntry, new_act, record_act
from backend.city.service import City
from backend.i18n import Text
from backend.problems import InvalidRequest
from backend.security.identity import CitizenRequest, role_guard
from backend.services.audit.api.schemas import LogEntries, log_entry
from backend.store import Order

auditor = role_guard("auditor")

PAGE = 100
Filter = Annotated[str, Meta(min_length=1, max_length=200)] | None


@get("/v1/audit/entries", guards=[auditor])
async def list_audit_entries(
    request: CitizenRequest,
    city: NamedDependency[City],
    day: FromQuery[date | None] = None,
    about: FromQuery[Filter] = None,
    account: FromQuery[Filter] = None,
    action: FromQuery[Filter] = None,
    cursor: FromQuery[str | None] = None,
) -> LogEntries:
    """List the entries of a day, about a person or an object, of an account, or of an action, newest first.

    `about` is the id of a Person, an account or another object. Without a filter, the entries are today's.
    """
    given = {"day": day and day.isoformat(), "subject": about, "account": account, "action": action}
    where = {name: value for name, value in given.items() if value is not None}
    if len(where) > 1:
        raise InvalidRequest(
            Text(zh="一次只能按一项条件查询。", en="Use one of day, about, account and action at a time.")
        )
    where = where or {"day": city.today().isoformat()}
    newest = Order("sort_key", "descending")
    page = await city.store.find(AuditEntry, where, order=newest, cursor=cursor, limit=PAGE)
    ((name, value),) = where.items()
    await record_act(city, new_act(city, request.user, "auditor", "audit.read", value, name))
    return LogEntries([log_entry(entry) for entry in page.documents], page.cursor)
