"""Let people see who read or changed what the city has of them."""

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery

from backend.city.audit_chain import content_of, leaf_of
from backend.city.audit_log import AuditEntry
from backend.city.service import City
from backend.i18n import Text
from backend.problems import NotFound
from backend.security.identity import CitizenRequest, signed_in
from backend.services.audit.api.schemas import InclusionProof, OwnEntries, OwnEntry
from backend.services.audit.days import DayOpen, inclusion_of
from backend.store import Order
from backend.web.uncached import NO_STORE

PAGE = 50
_OTHER_ACT = Text(zh="办理了与您有关的事项", en="Did something that concerns you")


def _subjects(request: CitizenRequest) -> list[str]:
    """Return the ids by which entries name the caller: as a person, and as an account."""
    caller = request.user
    return [caller.account_id, *([caller.citizen_id] if caller.citizen_id is not None else [])]


@get("/v1/me/audit", guards=[signed_in], response_headers=NO_STORE)
async def list_own_audit_entries(
    request: CitizenRequest, city: NamedDependency[City], cursor: FromQuery[str | None] = None
) -> OwnEntries:
    """List who read or changed what the city has of the caller, newest first."""
    newest = Order("sort_key", "descending", below=cursor)
    pages = [
        await city.store.find(AuditEntry, {"subject": subject}, order=newest, limit=PAGE)
        for subject in _subjects(request)
    ]
    found = sorted((entry for page in pages for entry in page.documents), key=lambda entry: entry.sort_key)[::-1]
    more = len(found) > PAGE or any(page.cursor is not None for page in pages)
    shown = found[:PAGE]
    return OwnEntries([_own_entry(city, entry) for entry in shown], shown[-1].sort_key if more else None)


@get("/v1/me/audit/{entry_id:str}/proof", guards=[signed_in], response_headers=NO_STORE, problems=(DayOpen,))
async def prove_own_audit_entry(
    request: CitizenRequest, city: NamedDependency[City], entry_id: FromPath[str]
) -> InclusionProof:
    """Prove that an entry about the caller is in the log of its day, whose root the city has signed."""
    entry = await city.store.get(AuditEntry, entry_id)
    if entry is None or entry.subject not in _subjects(request):
        raise NotFound(zh="没有找到该记录。", en="There is no such entry about you.")
    proof = await inclusion_of(city, entry)
    content = content_of(entry).decode()
    return InclusionProof(content, leaf_of(entry).hex(), proof.index, proof.size, list(proof.path), proof.statement)


def _own_entry(city: City, entry: AuditEntry) -> OwnEntry:
    return OwnEntry(
        entry.id,
        entry.at,
        entry.action,
        city.acts.get(entry.action, _OTHER_ACT),
        entry.role,
        city.authorities.get(entry.role, Text(zh=entry.role, en=entry.role)),
        entry.reason,
    )
