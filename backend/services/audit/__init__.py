"""The audit log as people see it: a person sees who read theirs, auditors see all, and anyone verifies the days.

The log itself is in `backend.city`: `audit_log` (acts and entries), `audit_chain` (signed blocks) and
`audit_verification`. `tasks` moves acts into the log, `days` proves that an entry is in its day, `api` has the routes.
"""

from backend.city.service import Service, routes_of
from backend.i18n import Text
from backend.services.audit.api import auditor, citizen, verifier

service = Service(
    name="audit",
    title=Text(zh="审计日志", en="Audit log"),
    routes=routes_of(citizen, auditor, verifier),
    roles=["auditor"],
    acts={"audit.read": Text(zh="审计时查看了与您有关的记录", en="Read the entries about you, for an audit")},
    authorities={
        "auditor": Text(zh="城市审计部门", en="The city's auditors"),
        "city": Text(zh="城市平台", en="The city's platform"),
    },
)
