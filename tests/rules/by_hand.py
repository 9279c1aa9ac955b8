"""The three-colour code of the city in May 2022, written by hand in Python.

It was written from the orders, not from `colour.yaml`, so that each checks the other.
"""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from backend.services.health_code.facts import HealthFacts, Isolation

DAY = timedelta(days=1)
WEEK, FORTNIGHT = 7 * DAY, 14 * DAY

Found = tuple[str, str, tuple[str, ...]]


CITY = ZoneInfo("Asia/Shanghai")


def _is_three(born_at: datetime, at: datetime) -> bool:
    """Return whether a child has had its third birthday, by the days in the city."""
    born, day = born_at.astimezone(CITY).date(), at.astimezone(CITY).date()
    return (day.year - 3, day.month, day.day) >= (born.year, born.month, born.day)


def colour_in_may_2022(facts: HealthFacts, now: datetime) -> Found:
    """Return the colour, the rule that decides it, and all rules that fire."""
    red = [*_red(facts, now)]
    yellow = [*_yellow(facts, now)]
    if red:
        return "red", red[0], tuple(red + yellow)
    if yellow:
        return "yellow", yellow[0], tuple(yellow)
    return "green", "otherwise", ()


def _red(facts: HealthFacts, now: datetime) -> list[str]:
    found: list[str] = []
    open_cases = {case.status for case in facts.cases if case.ended_at is None}
    found.extend(status for status in ("confirmed", "suspected", "asymptomatic") if status in open_cases)
    if any(contact.level == "close" and now - contact.at < FORTNIGHT for contact in facts.contacts):
        found.append("close-contact")
    if any(now - entry.entered_at < FORTNIGHT for entry in facts.entries):
        found.append("abroad")
    quarantines = [one for one in facts.isolations if one.place != "observation" and one.released_at is None]
    if any(now - one.began_at < FORTNIGHT for one in quarantines):
        found.append("isolation")
    if any(now - one.began_at >= FORTNIGHT and not _checked_in(one) for one in quarantines):
        found.append("check-in-missing")
    if any(stay.risk == "high" and (stay.left_at is None or now - stay.left_at < FORTNIGHT) for stay in facts.stays):
        found.append("high-risk-area")
    if any(
        test.kind == "pcr" and test.result == "positive" and not _negative_after(facts, test.sampled_at)
        for test in facts.tests
    ):
        found.append("positive-pcr-retest")
    if any(now - statement.at < FORTNIGHT for statement in facts.false_statements):
        found.append("false-statement")
    return found


def _yellow(facts: HealthFacts, now: datetime) -> list[str]:
    found: list[str] = []
    ended = [case.ended_at for case in facts.cases if case.status != "suspected" and case.ended_at is not None]
    if any(now - end < FORTNIGHT for end in ended):
        found.append("discharged")
    if any(contact.level == "close" and FORTNIGHT <= now - contact.at < 3 * WEEK for contact in facts.contacts):
        found.append("contact-monitoring")
    if any(contact.level == "secondary" and now - contact.at < WEEK for contact in facts.contacts):
        found.append("secondary-contact")
    if any(
        contact.level == "nearby" and now - contact.at < FORTNIGHT and not _two_negatives_after(facts, contact.at)
        for contact in facts.contacts
    ):
        found.append("nearby")
    if any(
        one.place == "observation" and one.released_at is None and now - one.began_at < WEEK for one in facts.isolations
    ):
        found.append("observation")
    found.extend(_yellow_until_tested(facts, now))
    return found


def _yellow_until_tested(facts: HealthFacts, now: datetime) -> list[str]:
    found: list[str] = []
    medium = [stay.left_at for stay in facts.stays if stay.risk == "medium"]
    if any(left is None or (now - left < FORTNIGHT and not _negative_after(facts, left)) for left in medium):
        found.append("medium-risk-area")
    fevers = [symptom.at for symptom in facts.symptoms if symptom.kind == "fever"]
    if any(now - at < WEEK and not _negative_after(facts, at) for at in fevers):
        found.append("fever")
    others = [symptom.at for symptom in facts.symptoms if symptom.kind != "fever"]
    well = [declaration.at for declaration in facts.declarations if declaration.well]
    if any(now - at < WEEK and not any(later - at >= DAY for later in well) for at in others):
        found.append("symptoms")
    antigens = [test.sampled_at for test in facts.tests if test.kind == "antigen" and test.result == "positive"]
    if any(now - at < WEEK and not _negative_after(facts, at) for at in antigens):
        found.append("positive-antigen")
    missed = [round_.at for round_ in facts.missed_mass_tests if now - round_.at < WEEK]
    due = [at for at in missed if facts.born_at is None or _is_three(facts.born_at, at)]
    if any(not _negative_after(facts, at) for at in due):
        found.append("missed-mass-test")
    return found


def _negatives_after(facts: HealthFacts, at: datetime) -> list[datetime]:
    tests = facts.tests
    return [t.sampled_at for t in tests if t.kind == "pcr" and t.result == "negative" and t.sampled_at > at]


def _negative_after(facts: HealthFacts, at: datetime) -> bool:
    return bool(_negatives_after(facts, at))


def _two_negatives_after(facts: HealthFacts, at: datetime) -> bool:
    """Return whether two negative tests at least a day apart follow."""
    sampled = _negatives_after(facts, at)
    return bool(sampled) and max(sampled) - min(sampled) >= DAY


def _checked_in(isolation: Isolation) -> bool:
    """Return whether there were fourteen days in a row with a check-in each."""
    days = set(isolation.check_ins)
    return any(all(day - number * DAY in days for number in range(14)) for day in days)
