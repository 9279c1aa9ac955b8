"""The hospital whose system calls, by the access token of SMART Backend Services that it sends."""

from backend.city.service import City
from backend.i18n import Text
from backend.problems import NotAllowed, NotSignedIn
from backend.security.identity import Caller
from backend.services.medical_credit.model.hospital import ACCOUNT_PREFIX, Hospital


async def calling_hospital(city: City, caller: Caller) -> Hospital:
    """Return the calling hospital. Raises NotSignedIn if it is not connected or is disabled."""
    known = caller.account_id.startswith(ACCOUNT_PREFIX)
    hospital = await city.store.get(Hospital, caller.account_id.removeprefix(ACCOUNT_PREFIX)) if known else None
    if hospital is None or not hospital.enabled:
        raise NotSignedIn(
            Text(zh="该医院未接入或已停用，请联系城市管理员。", en="This hospital is not connected, or is disabled.")
        )
    return hospital


def missing_scope(scope: str) -> NotAllowed:
    """Return the Problem of an access token that lacks a scope (RFC 6750, section 3.1)."""
    return NotAllowed(
        Text(zh=f"访问令牌缺少{scope}权限。", en=f"The access token lacks the scope {scope}."),
        headers={"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{scope}"'},
    )
