"""The scorecard of the credit limit and the reasons against paying later, written by hand in Python.

They were written from the tables of the two editions, not from `limit.yaml` and `standing.yaml`: each checks the other.
"""

from datetime import UTC, datetime, timedelta

from backend.services.medical_credit.facts import CreditFacts, StandingFacts

SCORECARD_BEGINS = datetime(2020, 6, 30, 16, tzinfo=UTC)
REVISED = datetime(2025, 12, 31, 16, tzinfo=UTC)

LEAST_YUAN, MOST_YUAN = 500, 5_000

INCOME = {"none": 0, "low": 200, "middle": 400, "high": 700, "top": 1_000}
NAME = {"number": 0, "face": 300, "bank": 600}


def limit_by_hand(facts: CreditFacts, now: datetime) -> tuple[int, dict[str, int]]:
    """Return the limit in fen and what each bin adds in yuan, by the law of `now` (July 2020 or later)."""
    revised = now >= REVISED
    bins = [_age(facts, now, revised=revised), _score(facts.city_score, revised=revised), _years(facts.insurance_years)]
    if facts.arrears_fen:
        bins.append(("arrears-small", -300) if facts.arrears_fen < 1_000_00 else ("arrears-large", -1_000))
    if facts.breaches:
        bins.append(_breaches(facts.breaches, revised=revised))
    bins.append((f"income-{facts.income}", INCOME[facts.income]))
    bins.append((f"name-{facts.real_name}", NAME[facts.real_name]))
    added = dict(bins)
    return min(max(sum(added.values()), LEAST_YUAN), MOST_YUAN) * 100, added


def _age(facts: CreditFacts, now: datetime, *, revised: bool) -> tuple[str, int]:
    if now < facts.adult_at:
        return "minor", 0
    if now < facts.senior_at:
        return "adult", 800 if revised else 600
    return "senior", 1_100 if revised else 900


def _score(score: int | None, *, revised: bool) -> tuple[str, int]:
    if score is None:
        return "score-none", 400 if revised else 0
    bands = [(751, "top", 1_600), (700, "excellent", 1_200), (600, "good", 800), (550, "fair", 400), (0, "poor", 0)]
    return next((f"score-{band}", yuan) for least, band, yuan in bands if score >= least)


def _years(years: int) -> tuple[str, int]:
    bands = [(10, "most", 1_200), (5, "many", 800), (1, "some", 400), (0, "briefly", 0)]
    return next((f"insured-{band}", yuan) for least, band, yuan in bands if years >= least)


def _breaches(count: int, *, revised: bool) -> tuple[str, int]:
    match count:
        case 1:
            return "breach-one", -200 if revised else -400
        case 2:
            return "breach-two", -600 if revised else -800
        case _:
            return "breach-more", -1_500


def standing_by_hand(facts: StandingFacts, now: datetime) -> str:
    """Return a person's standing, by the law of `now` (July 2020 or later)."""
    refusal = _refusal(facts, now)
    return "exception" if facts.visit == "emergency" and refusal != "good" else refusal


def _refusal(facts: StandingFacts, now: datetime) -> str:
    revised = now >= REVISED
    if now < facts.adult_at:
        return "ineligible"
    if any(bill.owed_fen and bill.due_at + timedelta(hours=24) <= now for bill in facts.owing):
        return "suspended"
    last_breach = max((breach.at for breach in facts.breaches), default=None)
    lasts = timedelta(days=180 if revised else 365)
    if len(facts.breaches) >= 3 and last_breach is not None and now < last_breach + lasts:
        return "suspended"
    if facts.arrears_fen > (10_000_00 if revised else 5_000_00):
        return "suspended"
    least = {"none": 0, "outpatient": 500_00, "emergency": 500_00, "inpatient": 5_000_00}[facts.visit]
    return "exhausted" if facts.free_fen < least else "good"
