"""What the kit tries over FHIR: signing in, whole journeys, conditions, transactions, and errors."""

import asyncio
import http.client
import json
import secrets
import time
from typing import Any
from urllib.parse import urlencode, urlsplit

import jwt

from integrations.his.conformance.kit import Kit, expect
from integrations.his.mapping import ID_NUMBER_SYSTEM

KIT = Kit("fhir")
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
FHIR_JSON = "application/fhir+json"
_ALGORITHMS = {"RSA": "RS384", "EC": "ES384", "OKP": "EdDSA"}
OK, CREATED, BAD_REQUEST, UNAUTHORIZED, NOT_FOUND, STALE = 200, 201, 400, 401, 404, 412

Json = dict[str, Any]


class Answer:
    """What a server answered."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status, self.headers, self.raw = status, headers, body

    @property
    def json(self) -> Json:
        """The body. Raises ValueError if it is no JSON."""
        return json.loads(self.raw)

    def __str__(self) -> str:
        """Say it in short."""
        return f"{self.status} {self.raw[:200].decode(errors='replace')}"


class FhirBench:
    """A target, and the hospital and patient as which it is tried. What is made is of this run alone."""

    def __init__(self, base: str, hospital: str, patient: str, key: Json) -> None:
        self.base, self.hospital, self.patient, self.key = base.rstrip("/"), hospital, patient, key
        self.run = secrets.token_hex(3).upper()
        self._numbers = 0
        self._token = ""

    def next(self, letter: str) -> str:
        """Give a name that was not used before."""
        self._numbers += 1
        return f"{letter}{self.run}{self._numbers:03}"

    async def ask(
        self, method: str, path: str, body: Json | str | None = None, *, token: str | None = None, **headers: str
    ) -> Answer:
        """Send a request; header names are written with underscores."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        bearer = await self.token() if token is None else token
        if bearer:
            sent["Authorization"] = f"Bearer {bearer}"
        if body is not None:
            sent.setdefault("Content-Type", FHIR_JSON)
        payload = body if isinstance(body, str) or body is None else json.dumps(body)
        return await asyncio.to_thread(self._ask, method, path, payload, sent)

    def _ask(self, method: str, path: str, body: str | None, headers: dict[str, str]) -> Answer:
        target = urlsplit(self.base)
        kind = http.client.HTTPSConnection if target.scheme == "https" else http.client.HTTPConnection
        connection = kind(target.netloc, timeout=30)
        try:
            connection.request(method, f"{target.path}{path}", body and body.encode(), headers)
            answer = connection.getresponse()
            told = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, told, answer.read(20_000_000))
        except http.client.HTTPException as error:
            raise OSError(f"no HTTP: {error!r}") from error
        finally:
            connection.close()

    # ── signing in ──

    def assertion(self, **changed: object) -> str:
        """Sign an assertion; `changed` claims are put in the place of the right ones."""
        claims = {
            "iss": self.hospital,
            "sub": self.hospital,
            "aud": f"{self.base}/token",
            "exp": int(time.time()) + 240,
            "jti": secrets.token_hex(16),
        } | changed
        algorithm = _ALGORITHMS[self.key["kty"]]
        return jwt.encode(claims, jwt.PyJWK(self.key, algorithm).key, algorithm, {"kid": self.key.get("kid", "")})

    async def sign_in(self, assertion: str, scope: str = "system/*.cruds") -> Answer:
        """Ask for a token."""
        form = {
            "grant_type": "client_credentials",
            "scope": scope,
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": assertion,
        }
        kind = "application/x-www-form-urlencoded"
        return await self.ask("POST", "/token", urlencode(form), token="", Content_Type=kind)

    async def token(self) -> str:
        """Give an access token, the same for the whole run."""
        if not self._token:
            answer = await self.sign_in(self.assertion())
            expect(answer.status == OK, "a token", answer)
            self._token = answer.json["access_token"]
        return self._token

    # ── resources ──

    def encounter(self, number: str, status: str = "in-progress") -> Json:
        """Write an Encounter."""
        return {
            "resourceType": "Encounter",
            "identifier": [{"system": "urn:kit:visit", "value": number}],
            "status": status,
            "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "EMER"},
            "subject": {"identifier": {"system": ID_NUMBER_SYSTEM, "value": self.patient}},
            "period": {"start": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())},
        }

    def charge(self, context: str, line: str, yuan: str, **more: object) -> str:
        """Write a ChargeItem; the amount stands in the JSON as it is given."""
        item = {
            "resourceType": "ChargeItem",
            "identifier": [{"system": "urn:kit:line", "value": line}],
            "status": "billable",
            "code": {"coding": [{"system": "urn:kit:code", "code": "110100001"}], "text": "conformance"},
            "subject": {"identifier": {"system": ID_NUMBER_SYSTEM, "value": self.patient}},
            "context": {"reference": context},
            "occurrenceDateTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "priceOverride": {"value": 0, "currency": "CNY"},
        } | more
        return json.dumps(item).replace('"value": 0', f'"value": {yuan}')

    async def opened(self) -> Json:
        """Open a visit, and give its Encounter."""
        answer = await self.ask("POST", "/Encounter", self.encounter(self.next("V")))
        expect(answer.status == CREATED, "201", answer)
        return answer.json

    async def cancel(self, encounter: Json) -> None:
        """Cancel a visit of this run."""
        body = self.encounter(encounter["identifier"][0]["value"], "cancelled") | {"id": encounter["id"]}
        answer = await self.ask("PUT", f"/Encounter/{encounter['id']}", body)
        expect(answer.status == OK, "200", answer)


def _is_outcome(answer: Answer, *statuses: int) -> None:
    expect(answer.status in statuses, f"{' or '.join(map(str, statuses))}", answer)
    expect(FHIR_JSON in answer.headers.get("content-type", ""), FHIR_JSON, answer.headers.get("content-type"))
    expect(answer.json.get("resourceType") == "OperationOutcome", "an OperationOutcome", answer)


@KIT.must
async def it_says_what_it_can(bench: FhirBench) -> None:
    """GET /metadata gives a CapabilityStatement of R4 to anybody."""
    answer = await bench.ask("GET", "/metadata", token="")
    expect(answer.status == OK, "200", answer)
    statement = answer.json
    expect(statement.get("resourceType") == "CapabilityStatement", "a CapabilityStatement", answer)
    expect(str(statement.get("fhirVersion", "")).startswith("4."), "fhirVersion 4", statement.get("fhirVersion"))


@KIT.must
async def a_signed_assertion_gives_a_token(bench: FhirBench) -> None:
    """SMART Backend Services: the configuration names the token endpoint, and a signed assertion gives a token."""
    told = await bench.ask("GET", "/.well-known/smart-configuration", token="")
    expect("token_endpoint" in told.json, "a token_endpoint", told)
    answer = await bench.sign_in(bench.assertion())
    expect(answer.status == OK and answer.json["token_type"].lower() == "bearer", "a bearer token", answer)


@KIT.must
async def a_bad_assertion_gives_none(bench: FhirBench) -> None:
    """An assertion that is expired, for somebody else, used before, or signed with another key gives no token."""
    once = bench.assertion()
    await bench.sign_in(once)
    foreign = jwt.encode({"iss": bench.hospital}, "0" * 64, "HS256")
    for assertion in (
        once,
        bench.assertion(exp=int(time.time()) - 600),
        bench.assertion(aud="https://elsewhere.example/token"),
        bench.assertion(sub="somebody-else"),
        foreign,
    ):
        answer = await bench.sign_in(assertion)
        expect(answer.status in (BAD_REQUEST, UNAUTHORIZED), "400 or 401", answer)


@KIT.must
async def nobody_gets_in_without_a_token(bench: FhirBench) -> None:
    """Without a token, or with a wrong one, every resource is refused with an OperationOutcome."""
    for token in ("", "wrong"):
        _is_outcome(await bench.ask("GET", "/Encounter", token=token), UNAUTHORIZED)


@KIT.must
async def a_visit_goes_from_its_opening_to_its_invoice(bench: FhirBench) -> None:
    """Encounter, ChargeItem, Account and Invoice: a whole visit, to the fen."""
    opened = await bench.opened()
    context = f"Encounter/{opened['id']}"
    for line, yuan in (("L1", "10.10"), ("L2", "0.20")):
        answer = await bench.ask("POST", "/ChargeItem", bench.charge(context, line, yuan))
        expect(answer.status == CREATED, "201", answer)
    account = (await bench.ask("GET", f"/Account/{opened['id']}")).json | {"status": "inactive"}
    ended = await bench.ask("PUT", f"/Account/{opened['id']}", account)
    expect(ended.status == OK, "200", ended)
    for _ in range(100):
        answer = await bench.ask("GET", f"/Invoice/{opened['id']}")
        if answer.status == OK and answer.json.get("status") in ("issued", "balanced"):
            break
        await asyncio.sleep(0.2)
    expect(answer.status == OK, "an Invoice", answer)
    gross = json.loads(answer.raw, parse_float=str)["totalGross"]["value"]
    expect(gross == "10.30", "totalGross 10.30", gross)
    await bench.cancel(opened)


@KIT.must
async def what_is_created_twice_is_one(bench: FhirBench) -> None:
    """If-None-Exist finds what is there; the same ChargeItem twice is one."""
    body = bench.encounter(bench.next("V"))
    number = body["identifier"][0]["value"]
    wanted = {"If_None_Exist": f"identifier={number}"}
    first = await bench.ask("POST", "/Encounter", body, **wanted)
    second = await bench.ask("POST", "/Encounter", body, **wanted)
    expect((first.status, second.status) == (CREATED, OK), "201, then 200", (first, second))
    expect(first.json["id"] == second.json["id"], "the same id", second)
    charge = bench.charge(f"Encounter/{first.json['id']}", "L1", "1.00")
    items = [(await bench.ask("POST", "/ChargeItem", charge)).json.get("id") for _ in range(2)]
    expect(items[0] == items[1], "the same ChargeItem", items)
    await bench.cancel(first.json)


@KIT.must
async def a_stale_version_changes_nothing(bench: FhirBench) -> None:
    """If-Match with a version that no longer stands is 412."""
    opened = await bench.opened()
    body = bench.encounter(opened["identifier"][0]["value"], "finished") | {"id": opened["id"]}
    answer = await bench.ask("PUT", f"/Encounter/{opened['id']}", body, If_Match='W/"stale"')
    _is_outcome(answer, STALE)
    await bench.cancel(opened)


@KIT.must
async def resources_are_found_by_identifier_page_by_page(bench: FhirBench) -> None:
    """Search by identifier finds one; ChargeItems of a visit come page by page."""
    opened = await bench.opened()
    number = opened["identifier"][0]["value"]
    found = (await bench.ask("GET", f"/Encounter?identifier={number}")).json
    expect([one["resource"]["id"] for one in found.get("entry", [])] == [opened["id"]], "the Encounter", found)
    context = f"Encounter/{opened['id']}"
    for line in range(3):
        await bench.ask("POST", "/ChargeItem", bench.charge(context, f"L{line}", "1.00"))
    path, seen = f"/ChargeItem?context={context}&_count=2", 0
    for _ in range(5):
        page = (await bench.ask("GET", path)).json
        seen += len(page.get("entry", []))
        links = {one["relation"]: one["url"] for one in page.get("link", [])}
        if "next" not in links:
            break
        path = f"/ChargeItem?{urlsplit(str(links['next'])).query}"
    expect(seen == 3, "3 in two pages", seen)  # noqa: PLR2004  as many as were made
    await bench.cancel(opened)


@KIT.must
async def a_transaction_is_done_whole_or_not_at_all(bench: FhirBench) -> None:
    """A transaction with one bad entry changes nothing; a sound one opens a visit with its charge."""
    number = bench.next("V")
    full_url = "urn:uuid:5f4a1c3e-0000-4000-8000-000000000001"

    def bundle(yuan: str) -> str:
        charge = bench.charge(full_url, "L1", yuan)
        opening = json.dumps(bench.encounter(number))
        return (
            '{"resourceType": "Bundle", "type": "transaction", "entry": ['
            f'{{"fullUrl": "{full_url}", "resource": {opening}, "request": {{"method": "POST", "url": "Encounter"}}}},'
            f'{{"resource": {charge}, "request": {{"method": "POST", "url": "ChargeItem"}}}}]}}'
        )

    refused = await bench.ask("POST", "", bundle("1.005"))
    expect(refused.status >= BAD_REQUEST, "an error", refused)
    none = (await bench.ask("GET", f"/Encounter?identifier={number}")).json
    expect(not none.get("entry"), "no Encounter", none)
    done = await bench.ask("POST", "", bundle("1.50"))
    expect(done.status == OK and len(done.json.get("entry", [])) == 2, "two entries", done)  # noqa: PLR2004  as sent
    (one,) = (await bench.ask("GET", f"/Encounter?identifier={number}")).json["entry"]
    await bench.cancel(one["resource"])


@KIT.must
async def errors_are_operation_outcomes(bench: FhirBench) -> None:
    """A third decimal place, broken JSON, an unknown resource, type or person: each is an OperationOutcome."""
    opened = await bench.opened()
    context = f"Encounter/{opened['id']}"
    _is_outcome(await bench.ask("POST", "/ChargeItem", bench.charge(context, "L1", "1.005")), 400, 422)
    _is_outcome(await bench.ask("POST", "/ChargeItem", bench.charge(context, "L1", "9" * 400)), 400, 422)
    _is_outcome(await bench.ask("POST", "/ChargeItem", '{"resourceType": '), 400, 422)
    _is_outcome(await bench.ask("POST", "/ChargeItem", "[" * 5_000), 400, 413, 422)
    _is_outcome(await bench.ask("GET", "/Encounter/00000000000000000000000000000000"), NOT_FOUND)
    _is_outcome(await bench.ask("GET", "/Nonsense/1"), NOT_FOUND)
    stranger = bench.encounter(bench.next("V"))
    stranger["subject"]["identifier"]["value"] = "11010519491231002X"
    _is_outcome(await bench.ask("POST", "/Encounter", stranger), 404, 409, 422)
    await bench.cancel(opened)


@KIT.must
async def eligibility_tells_how_much_and_never_why(bench: FhirBench) -> None:
    """CoverageEligibilityRequest is answered with whether and up to how much, without score or reason."""
    category = {"coding": [{"code": "EMER"}]}
    request = {
        "resourceType": "CoverageEligibilityRequest",
        "identifier": [{"value": bench.next("Q")}],
        "status": "active",
        "purpose": ["benefits"],
        "patient": {"identifier": {"system": ID_NUMBER_SYSTEM, "value": bench.patient}},
        "created": time.strftime("%Y-%m-%d", time.gmtime()),
        "insurer": {"display": "Chengma"},
        "item": [{"category": category}],
    }
    made = await bench.ask("POST", "/CoverageEligibilityRequest", request)
    expect(made.status in (OK, CREATED), "201", made)
    found = (await bench.ask("GET", f"/CoverageEligibilityResponse?request={made.json['id']}")).json
    (entry,) = found["entry"]
    expect("inforce" in entry["resource"]["insurance"][0], "insurance.inforce", entry)
    expect("score" not in json.dumps(found).lower(), "no score", found)
