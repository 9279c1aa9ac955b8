"""The three-colour code of the plan in force, written by hand in Python, with the instant of the next change.

It returns the same Verdicts as the compiled rules, as a yardstick for their speed. It is optimised: it iterates over
each list once, skips empty ones, and uses what a general compiler cannot know: only the last reason of a kind matters.
The texts for people are data, and come from the rulebook.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from backend.rulebook import Rulebook, Verdict
from backend.services.health_code.facts import HealthFacts, Isolation

MODULE = "health_code.colour"
DAY = timedelta(days=1)
WEEK = 7 * DAY
SECONDARY_WATCH = SYMPTOM_WATCH = 3 * DAY
FEVER_WATCH = 5 * DAY
RECOVERY = DAY
CHECK_INS_DUE = 7
PLAN_BEGINS = datetime(2025, 8, 31, 16, tzinfo=UTC)
CITY = ZoneInfo("Asia/Shanghai")
LAST = datetime(2150, 1, 1, tzinfo=UTC)
LONG_AGO = datetime.min.replace(tzinfo=UTC)
NEVER = datetime.max.replace(tzinfo=UTC)

RED = frozenset(
    {
        "plan-case",
        "plan-close-contact",
        "plan-isolation",
        "plan-check-in-missing",
        "plan-high-risk-area",
        "plan-positive-pcr",
        "plan-false-statement",
    }
)

Decide = Callable[[HealthFacts, datetime], Verdict]
Fired = dict[str, datetime]
"""The rules that fire, in the order of the plan, each with the instant at which it stops."""


def write_by_hand(rulebook: Rulebook, at: datetime) -> Decide:
    """Return the handwritten function; its texts are those of the rules in force at `at`."""
    words = {rule.id: (rule.because, rule.remedy) for rule in rulebook.in_force(MODULE, at)}
    otherwise = rulebook.modules[MODULE].otherwise
    because_nothing, nothing_to_do = otherwise.because, otherwise.remedy
    digest = rulebook.digest

    def decide(facts: HealthFacts, now: datetime) -> Verdict:
        if not PLAN_BEGINS <= now < LAST:
            raise ValueError("the plan was not in force then")
        fired: Fired = {}
        begins = _evaluate(facts, now, fired)
        if not fired:
            return Verdict(MODULE, "green", "otherwise", because_nothing, nothing_to_do, (), now, None, digest)
        rule = next((rule for rule in fired if rule in RED), None)
        colour = "yellow" if rule is None else "red"
        rule = rule or next(iter(fired))
        because, remedy = words[rule]
        change = min(begins, *fired.values())
        changes_at = None if change is NEVER else change
        return Verdict(MODULE, colour, rule, because, remedy, tuple(fired), now, changes_at, digest)

    return decide


def _evaluate(facts: HealthFacts, now: datetime, fired: Fired) -> datetime:  # noqa: C901, PLR0912  one branch for each list
    """Add the rules that fire; return when the next one begins, which can only be that of missing check-ins."""
    begins = NEVER
    negative = LONG_AGO
    for test in facts.tests:
        if test.kind == "pcr" and test.result == "negative" and test.sampled_at > negative:
            negative = test.sampled_at
    if facts.cases:
        _evaluate_cases(facts, now, fired)
    if facts.contacts:
        _evaluate_contacts(facts, now, negative, fired)
    if facts.isolations:
        begins = _evaluate_isolations(facts, now, fired)
    if facts.stays:
        _evaluate_stays(facts, now, negative, fired)
    if facts.entries:
        entered = max(entry.entered_at for entry in facts.entries)
        if now < entered + WEEK and negative <= entered:
            fired["plan-abroad"] = entered + WEEK
    if facts.symptoms:
        _evaluate_symptoms(facts, now, negative, fired)
    if facts.tests:
        _evaluate_tests(facts, now, negative, fired)
    if facts.missed_mass_tests:
        missed = max(round_.at for round_ in facts.missed_mass_tests)
        is_child = facts.born_at is not None and _is_under_three(facts.born_at, missed)
        if now < missed + WEEK and negative <= missed and not is_child:
            fired["plan-missed-mass-test"] = missed + WEEK
    if facts.false_statements:
        stated = max(statement.at for statement in facts.false_statements)
        if now < stated + WEEK:
            fired["plan-false-statement"] = stated + WEEK
    return begins


def _evaluate_cases(facts: HealthFacts, now: datetime, fired: Fired) -> None:
    ended = LONG_AGO
    for case in facts.cases:
        if case.ended_at is None:
            fired["plan-case"] = NEVER
        elif case.status != "suspected" and case.ended_at > ended:
            ended = case.ended_at
    if now < ended + WEEK:
        fired["plan-discharged"] = ended + WEEK


def _evaluate_contacts(facts: HealthFacts, now: datetime, negative: datetime, fired: Fired) -> None:
    close = other = LONG_AGO
    for contact in facts.contacts:
        if contact.level == "close":
            close = max(close, contact.at)
        elif contact.at > other:
            other = contact.at
    if now < close + WEEK:
        fired["plan-close-contact"] = close + WEEK
    if now < other + SECONDARY_WATCH and negative <= other:
        fired["plan-other-contact"] = other + SECONDARY_WATCH


def _evaluate_isolations(facts: HealthFacts, now: datetime, fired: Fired) -> datetime:
    """Evaluate orders to isolate; return when the next rule begins."""
    isolated = observed = LONG_AGO
    begins = NEVER
    for isolation in facts.isolations:
        if isolation.released_at is None:
            if isolation.place == "observation":
                observed = max(observed, isolation.began_at)
            else:
                isolated = max(isolated, isolation.began_at)
                if not _checked_in(isolation):
                    begins = min(begins, isolation.began_at + WEEK)
    if now < isolated + WEEK:
        fired["plan-isolation"] = isolated + WEEK
    if begins <= now:
        fired["plan-check-in-missing"] = begins = NEVER
    if now < observed + WEEK:
        fired["plan-observation"] = observed + WEEK
    return begins


def _checked_in(isolation: Isolation) -> bool:
    """Return whether seven check-ins are within seven days."""
    days = sorted(isolation.check_ins)
    return any(last - first < WEEK for first, last in zip(days, days[CHECK_INS_DUE - 1 :], strict=False))


def _evaluate_stays(facts: HealthFacts, now: datetime, negative: datetime, fired: Fired) -> None:
    high = other = LONG_AGO
    is_in_high = is_in_other = False
    for stay in facts.stays:
        if stay.risk == "high":
            if stay.left_at is None:
                is_in_high = True
            elif stay.left_at > high:
                high = stay.left_at
        elif stay.left_at is None:
            is_in_other = True
        elif stay.left_at > other:
            other = stay.left_at
    if is_in_high or now < high + WEEK:
        fired["plan-high-risk-area"] = NEVER if is_in_high else high + WEEK
    if is_in_other or (now < other + WEEK and negative <= other):
        fired["plan-risk-area"] = NEVER if is_in_other else other + WEEK


def _evaluate_symptoms(facts: HealthFacts, now: datetime, negative: datetime, fired: Fired) -> None:
    fever = other = LONG_AGO
    for symptom in facts.symptoms:
        if symptom.kind == "fever":
            fever = max(fever, symptom.at)
        elif symptom.at > other:
            other = symptom.at
    if now < fever + FEVER_WATCH and negative <= fever:
        fired["plan-fever"] = fever + FEVER_WATCH
    if now < other + SYMPTOM_WATCH and not any(
        declaration.well and declaration.at - other >= RECOVERY for declaration in facts.declarations
    ):
        fired["plan-symptoms"] = other + SYMPTOM_WATCH


def _evaluate_tests(facts: HealthFacts, now: datetime, negative: datetime, fired: Fired) -> None:
    pcr = antigen = LONG_AGO
    for test in facts.tests:
        if test.result == "positive":
            if test.kind == "pcr":
                pcr = max(pcr, test.sampled_at)
            else:
                antigen = max(antigen, test.sampled_at)
    if pcr > LONG_AGO and negative <= pcr:
        fired["plan-positive-pcr"] = NEVER
    if now < antigen + WEEK and negative <= antigen:
        fired["plan-positive-antigen"] = antigen + WEEK


def _is_under_three(born_at: datetime, at: datetime) -> bool:
    born, day = born_at.astimezone(CITY).date(), at.astimezone(CITY).date()
    return (day.year - 3, day.month, day.day) < (born.year, born.month, born.day)
