"""Collect the answers of a migrated city to every request, and compare them with those of commit 70001f4."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from litestar import Litestar
from litestar.testing import TestClient
from ruamel.yaml import YAML

from backend.app import create_app
from backend.city.service import City
from backend.security.identity import Caller
from backend.services.health_code.sources import ReportingSource, source_id
from backend.store.update import insert_or_get
from tests.accounts import bearer_of
from tests.conftest import ROOT
from tests.migrations.old_city import CityCopy, Json, read_json, set_clocks

VOLATILE = frozenset({"payload", "issued_at", "expires_at", "access_token", "refresh_token", "cursor"})
"""Fields that differ in each answer."""

REWORDED = frozenset({"message", "word", "label", "title", "remedy"})
"""Texts whose wording may have changed since; stored reasons keep theirs."""

ADDED = frozenset(
    {
        ("Invoice", "extension"),
        ("benefits", "asking"),
        ("me", "level"),
        ("me", "roles_waiting"),
        ("talent", "account_usable_from"),
        ("bill", "counter_paid_fen"),
        ("bill", "counter_overpaid_fen"),
        ("difference", "detail"),
        ("line", "day"),
        ("resolution", "accepting_person"),
    }
)
"""Members that answers have got since, by the member that they are in."""

ADDED_COLUMNS = 2
"""The files of a reconciliation have got the columns `day` and `patient` since."""


def collect_answers(city: CityCopy) -> Json:
    """Return the answers of this city to every request."""
    app = create_app(city.settings, clock=city.clock)
    set_clocks(app.state.city, city.clock)
    with TestClient(app) as client:
        return AnswerCollector(client, app).collect()


def without_added_components(resource: Json) -> Json:
    """Return an Invoice without what was paid at the counter, a component that it has got since."""
    components = resource.get("totalPriceComponent")
    if components is None:
        return resource
    known = [one for one in components if one["code"]["coding"][0]["code"] != "counter-paid"]
    return {**resource, "totalPriceComponent": known}


class AnswerCollector:
    """Sends requests as each person, as staff, as a hospital, and without signing in."""

    def __init__(self, client: TestClient[Litestar], app: Litestar) -> None:
        self.client, self.app = client, app
        self.people: Json = read_json("people.json.gz")

    def headers(
        self,
        account: str,
        citizen: str | None,
        roles: Sequence[str],
        scopes: Sequence[str] = (),
        venues: Sequence[str] = (),
    ) -> Json:
        caller = Caller(account, "s", citizen, tuple(roles), tuple(venues), tuple(scopes), level=3 if citizen else 1)
        assert self.client.blocking_portal is not None
        return self.client.blocking_portal.call(bearer_of, self.app, caller)

    def get(self, path: str, headers: Json, **parameters: str) -> Json:
        """Return the answer, or only the status if the request is refused."""
        answer = self.client.get(path, headers=headers, params=parameters)
        return answer.json() if answer.status_code == 200 else {"status": answer.status_code}

    def collect(self) -> Json:
        staff = self.headers("staff", None, ("operator", "approver", "talent_officer"))
        return {
            "people": {one["citizen"]: self.person(one) for one in self.people},
            "budgets": self.get("/v1/benefit-budgets", staff),
            "appeals": self.get("/v1/talent-appeals", staff),
            "days": {hospital: self.days(hospital, staff) for hospital in ("HZ001", "HZ002")},
            "school_plans": self.get("/v1/school-plans", {}),
            "schools": self.schools(),
            "fhir": {hospital: self.fhir(hospital) for hospital in ("HZ001", "HZ002")},
            "replays": [self.replay(one) for one in read_json("replays.json.gz")],
        }

    def person(self, one: Json) -> Json:
        me = self.headers(one["account"], one["citizen"], one["roles"])
        answers: Json = {
            name: self.get(f"/v1/me{path}", me)
            for name, path in (
                ("me", ""),
                ("health_code", "/health-code"),
                ("history", "/health-code/history"),
                ("medical_credit", "/medical-credit"),
                ("family", "/family"),
                ("family_bills", "/family-bills"),
                ("talent", "/talent"),
                ("benefits", "/benefits"),
                ("talent_code", "/talent-code"),
            )
        }
        answers["visits"] = self.visits(me)
        answers["claims"] = [self.get(f"/v1/me/claims/{claim['id']}", me) for claim in answers["benefits"]["claimed"]]
        return answers

    def visits(self, me: Json) -> list[Json]:
        found: list[Json] = []
        cursor: str | None = None
        while True:
            page = self.get("/v1/me/visits", me, **({"cursor": cursor} if cursor else {}))
            found += [
                {"in_list": visit, "shown": self.get(f"/v1/me/visits/{visit['id']}", me)} for visit in page["visits"]
            ]
            cursor = page["cursor"]
            if cursor is None:
                return found

    def days(self, hospital: str, staff: Json) -> Json:
        listed = self.get(f"/v1/reconciliations/{hospital}", staff)
        days = [one["day"] for one in listed["days"]]
        return {
            "listed": listed,
            "shown": [self.get(f"/v1/reconciliations/{hospital}/{day}", staff) for day in days],
            "file": [self.file(hospital, day, staff) for day in days],
        }

    def file(self, hospital: str, day: str, staff: Json) -> str:
        """Return the file of a day without the columns that it has got since."""
        text = self.client.get(f"/v1/reconciliations/{hospital}/{day}/file", headers=staff).text
        lines = [line.rsplit(",", ADDED_COLUMNS) for line in text.splitlines()]
        assert lines[0][1:] == ["day", "patient"]
        return "".join(f"{line[0]}\n" for line in lines)

    def schools(self) -> Json:
        answers: list[Json] = []
        for lookup in read_json("lookups.json.gz"):
            answer = self.client.post("/v1/school-lookups", json=lookup)
            answers.append(answer.json() if answer.status_code == 200 else {"status": answer.status_code})
        return answers

    def fhir(self, hospital: str) -> Json:
        system = self.headers(f"hospital:{hospital}", None, ("hospital",), ("system/*.cruds",))
        found: Json = {}
        for kind in ("Encounter", "Account", "Invoice"):
            parameters: Json = {"_count": "100"}
            bundle = self.client.get(f"/fhir/{kind}", headers=system, params=parameters).json()
            found[kind] = [without_added_components(one["resource"]) for one in bundle.get("entry", [])]
        return found

    def assign(self, name: str, account: str) -> None:
        """Assign the source of events to the account that reports for it, as operators do after the upgrade."""
        city: City = self.app.state.city
        source = ReportingSource(id=source_id(city, name), name=name, kind="office", accounts=(account,))
        assert self.client.blocking_portal is not None
        self.client.blocking_portal.call(insert_or_get, city.store, source)

    def replay(self, one: Json) -> Json:
        """Repeat a request that was answered at 70001f4."""
        me = self.headers(one["account"], one["citizen"], one["roles"], venues=one["venues"])
        body = {"scope" if name == "what" else name: part for name, part in one["body"].items()}
        for source in {event["source"] for event in body.get("events", ())}:
            self.assign(source, one["account"])
        answer = self.client.post(one["path"], json=body, headers={**me, "Idempotency-Key": one["key"] or "-"})
        body = answer.json()
        if answer.status_code >= 400:
            return {"status": answer.status_code, "members": sorted(body)}
        return {"status": answer.status_code, "answer": body}


def comparable(value: Json, where: str = "") -> Json:
    """Return an answer without volatile fields and reworded texts."""
    if isinstance(value, list):
        return [comparable(part, where) for part in cast("list[Json]", value)]
    if not isinstance(value, dict):
        return value
    return {
        name: comparable(part, name)
        for name, part in cast("dict[str, Json]", value).items()
        if name not in VOLATILE
        and (where, name) not in ADDED
        and not (name in REWORDED and isinstance(part, dict))
        and not (name == "because" and where in ("clawback", "shares", "schools", "near_misses", "just_missed"))
        and not (name == "id" and where in ("found", "difference"))  # derived from the kind, which was renamed
        and name not in ("meta", "text", "display", "status_line")
    }


SCHEMAS: Mapping[str, tuple[str, ...]] = {
    "me": ("AccountShown",),
    "health_code": ("HealthCode",),
    "history": ("PastColour",),
    "medical_credit": ("LimitShown",),
    "credit": ("LimitShown",),
    "family": ("ConsentShown",),
    "family_bills": ("VisitShown", "BillShown", "Share", "TransferShown"),
    "visits": ("VisitInList", "VisitShown", "BillShown", "LineShown", "Share", "TransferShown"),
    "talent": ("TalentShown", "ClassShown", "EvidenceShown", "Missing"),
    "benefits": (
        "Benefits",
        "Offer",
        "OfferedPart",
        "JustMissed",
        "OwnEntitlement",
        "ClaimShown",
        "PartShown",
        "ClawbackShown",
    ),
    "claims": ("ClaimShown", "PartShown", "ClawbackShown"),
    "talent_code": ("TalentCode", "OwnEntitlement"),
    "budgets": ("Budgets", "BudgetShown"),
    "appeals": ("Appeals", "AppealListed"),
    "days": ("Days", "DayInList", "DayShown", "BreakShown", "Break", "Handling"),
    "school_plans": ("DistrictShown",),
    "schools": (
        "LookupAnswer",
        "ChildAnswer",
        "CandidateShown",
        "PlaceShown",
        "DistrictShown",
        "Migration",
        "Address",
        "backend.services.school_lookup.deciding.Reason",
    ),
    "replays": (
        "ClaimShown",
        "PartShown",
        "ClawbackShown",
        "VisitShown",
        "BillShown",
        "Share",
        "TransferShown",
        "Entitlement",
    ),
}
"""The schemas of 70001f4 used in each part of the answers."""


def read_renames() -> Json:
    """Return `openapi/renames.yaml`, which lists all renamed wire names."""
    return YAML(typ="safe").load((ROOT / "openapi" / "renames.yaml").read_text(encoding="utf-8"))


def renamed(value: Json, renames: Json, section: str, field: str = "") -> Json:
    """Return answers of 70001f4 with the names and words of today; `section` is the part of the answers."""
    if isinstance(value, list):
        return [renamed(part, renames, section, field) for part in cast("list[Json]", value)]
    if isinstance(value, dict):
        names = {
            old: new
            for schema in SCHEMAS.get(section, ())
            for old, new in renames["properties"].get(schema, {}).items()
        }
        return {
            names.get(name, name): renamed(part, renames, section or (name if name in SCHEMAS else ""), name)
            for name, part in cast("dict[str, Json]", value).items()
        }
    words: dict[str, str] = {}
    for schema in SCHEMAS.get(section, ()):
        words |= renames["values"].get(f"{schema}.{field}", {})
    return words.get(value, value) if isinstance(value, str) else value


def balances(answers: Json) -> Json:
    """Return the amounts that people own, owe and will receive, with colours and classes but without receipts."""
    people: Json = {}
    for citizen, one in answers["people"].items():
        people[citizen] = {
            "colour": (one["health_code"]["colour"], one["health_code"]["rule"]),
            "credit": {
                limit["purpose"]: {name: fen for name, fen in limit.items() if name.endswith("_fen")}
                for limit in one["medical_credit"].get("limits", ())
            },
            "visits": {
                visit["in_list"]["id"]: {"stage": visit["in_list"]["stage"], "bill": amounts(visit["shown"]["bill"])}
                for visit in one["visits"]
            },
            "class": one["talent"]["talent_class"],
            "claims": {
                claim["id"]: {
                    "stage": claim["stage"],
                    "amounts": amounts(claim),
                    "clawback": amounts(claim["clawback"]),
                    "instalments": [
                        {"amount_fen": part["amount_fen"], "state": part["state"]} for part in claim["instalments"]
                    ],
                }
                for claim in one["claims"]
            },
        }
    return json.loads(json.dumps({"people": people, "budgets": answers["budgets"]}))


def amounts(shown: Json) -> Json:
    named = cast("dict[str, Json]", shown or {})
    added = {name for _, name in ADDED}
    return {name: fen for name, fen in named.items() if name.endswith("_fen") and name not in added}


def differences(expected: Json, found: Json, where: str = "") -> Iterator[str]:
    """Yield a description of each difference between two answers."""
    if isinstance(expected, dict) and isinstance(found, dict):
        before, after = cast("dict[str, Json]", expected), cast("dict[str, Json]", found)
        for name in sorted(before.keys() | after.keys()):
            if name in before and name in after:
                yield from differences(before[name], after[name], f"{where}/{name}")
            else:
                yield f"{where}/{name}: only {'before' if name in before else 'today'}"
    elif isinstance(expected, list) and isinstance(found, list):
        ones, others = cast("list[Json]", expected), cast("list[Json]", found)
        if len(ones) != len(others):
            yield f"{where}: {len(ones)} before, {len(others)} today"
        for place, (one, other) in enumerate(zip(ones, others, strict=False)):
            yield from differences(one, other, f"{where}/{place}")
    elif expected != found:
        yield f"{where}: {expected!r} before, {found!r} today"
