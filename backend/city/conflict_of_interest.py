"""Nobody handles a case of their own: officers are recognised by person, whichever account they use."""

from backend.problems import Problem
from backend.security.identity import Caller


class ConflictOfInterest(Problem):
    """The case concerns the caller; another officer must handle it."""

    status, title_zh = 409, "需要回避"


def refuse_own_case(caller: Caller, person: str | None) -> None:
    """Refuse a case that concerns the caller's own person. Raises ConflictOfInterest."""
    if person is not None and person == caller.citizen_id:
        raise ConflictOfInterest(
            zh="该事项涉及您本人，请转交其他经办人员。",
            en="This case concerns you; please pass it to another officer.",
        )
