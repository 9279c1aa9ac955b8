"""What protects the law of the city: only what passes every check is stored, and another person puts it in force."""

from collections.abc import Sequence

from backend.city.releases import RulebookRelease
from backend.problems import FieldError, Problem
from backend.rulebook.source import Fault
from backend.security.identity import Caller

MAX_FAULTS = 100


class InvalidRules(Problem):
    """The rule modules have faults; `errors` has each with its file, line and column. Nothing was stored."""

    status, title_zh = 422, "规则有误"


class OwnRelease(Problem):
    """The caller submitted this release; another person must put it in force."""

    status, title_zh = 409, "需要他人批准"


class UnusableRelease(Problem):
    """The services of this edition cannot use the release; `errors` says why. The rules in force stay."""

    status, title_zh = 409, "该版规则不可用"


def refuse_own_release(caller: Caller, release: RulebookRelease) -> None:
    """Refuse to let its author put a release in force, from whichever account. Raises OwnRelease."""
    own_person = caller.citizen_id is not None and caller.citizen_id == release.author_person
    if own_person or caller.account_id == release.author:
        raise OwnRelease(
            zh="该版规则由您提交，须由另一人批准后施行。",
            en="You submitted this release; another person must put it in force.",
        )


def errors_of(faults: Sequence[Fault], pointer_prefix: str = "") -> tuple[FieldError, ...]:
    """Return the faults as errors of a Problem, each at its file and as authors read it, the first 100."""
    return tuple(
        FieldError(
            pointer_prefix + fault.path.replace("~", "~0").replace("/", "~1"),
            str(fault),
            fault.in_language("zh"),
        )
        for fault in faults[:MAX_FAULTS]
    )
