"""Conformance checks over FHIR: access tokens, complete visits, conditional requests, transactions and errors."""

import asyncio
import http.client
import json
import secrets
import time
from typing import Any
from urllib.parse import urlencode, urlsplit

import jwt

from integrations.his.conformance.checks import CheckSuite, expect
from integrations.his.mapping import ID_NUMBER_SYSTEM

CHECKS = CheckSuite("fhir")
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
FHIR_JSON = "application/fhir+json"
_ALGORITHMS = {"RSA": "RS384", "EC": "ES384", "OKP": "EdDSA"}
OK, CREATED, BAD_REQUEST, UNAUTHORIZED, NOT_FOUND, PRECONDITION_FAILED = 200, 201, 400, 401, 404, 412

Json = dict[str, Any]


class HttpResponse:
    """A response of the server."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status, self.headers, self.raw = status, headers, body

    @property
    def json(self) -> Json:
        """The decoded body. Raises ValueError if it is not JSON."""
        return json.loads(self.raw)

    def __str__(self) -> str:
        """Return the status and the beginning of the body."""
        return f"{self.status} {self.raw[:200].decode(errors='replace')}"


class FhirTester:
    """A target, with the hospital and the test patient to use. Each run uses new identifiers."""

    def __init__(self, base: str, hospital: str, patient: str, key: Json) -> None:
        self.base, self.hospital, self.patient, self.key = base.rstrip("/"), hospital, patient, key
        self.run = secrets.token_hex(3).upper()
        self._numbers = 0
        self._access_token = ""

    def new_id(self, letter: str) -> str:
        """Return a new identifier."""
        self._numbers += 1
        return f"{letter}{self.run}{self._numbers:03}"

    async def request(
        self, method: str, path: str, body: Json | str | None = None, *, access_token: str | None = None, **headers: str
    ) -> HttpResponse:
        """Send a request; write underscores for hyphens in header names."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        bearer = await self.access_token() if access_token is None else access_token
        if bearer:
            sent["Authorization"] = f"Bearer {bearer}"
        if body is not None:
            sent.setdefault("Content-Type", FHIR_JSON)
        payload = body if isinstance(body, str) or body is None else json.dumps(body)
        return await asyncio.to_thread(self._request, method, path, payload, sent)

    def _request(self, method: str, path: str, body: str | None, headers: dict[str, str]) -> HttpResponse:
        target = urlsplit(self.base)
        connect = http.client.HTTPSConnection if target.scheme == "https" else http.client.HTTPConnection
        connection = connect(target.netloc, timeout=30)
        try:
            connection.request(method, f"{target.path}{path}", body and body.encode(), headers)
            response = connection.getresponse()
            response_headers = {name.lower(): value for name, value in response.getheaders()}
            return HttpResponse(response.status, response_headers, response.read(20_000_000))
        except http.client.HTTPException as error:
            raise OSError(f"not HTTP: {error!r}") from error
        finally:
            connection.close()

    # ── access token ──

    def assertion(self, **overrides: object) -> str:
        """Return a signed client assertion; `overrides` replaces claims."""
        claims = {
            "iss": self.hospital,
            "sub": self.hospital,
            "aud": f"{self.base}/token",
            "exp": int(time.time()) + 240,
            "jti": secrets.token_hex(16),
        } | overrides
        algorithm = _ALGORITHMS[self.key["kty"]]
        return jwt.encode(claims, jwt.PyJWK(self.key, algorithm).key, algorithm, {"kid": self.key.get("kid", "")})

    async def request_token(self, assertion: str, scope: str = "system/*.cruds") -> HttpResponse:
        """Send a token request."""
        form = {
            "grant_type": "client_credentials",
            "scope": scope,
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": assertion,
        }
        media_type = "application/x-www-form-urlencoded"
        return await self.request("POST", "/token", urlencode(form), access_token="", Content_Type=media_type)

    async def access_token(self) -> str:
        """Return an access token, the same for the whole run."""
        if not self._access_token:
            response = await self.request_token(self.assertion())
            expect(response.status == OK, "a token", response)
            self._access_token = response.json["access_token"]
        return self._access_token

    # ── resources ──

    def encounter(self, number: str, status: str = "in-progress") -> Json:
        """Return an Encounter."""
        return {
            "resourceType": "Encounter",
            "identifier": [{"system": "urn:kit:visit", "value": number}],
            "status": status,
            "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "EMER"},
            "subject": {"identifier": {"system": ID_NUMBER_SYSTEM, "value": self.patient}},
            "period": {"start": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())},
        }

    def charge(self, context: str, line: str, yuan: str, **elements: object) -> str:
        """Return a ChargeItem as JSON; the amount is written exactly as given."""
        item = {
            "resourceType": "ChargeItem",
            "identifier": [{"system": "urn:kit:line", "value": line}],
            "status": "billable",
            "code": {"coding": [{"system": "urn:kit:code", "code": "110100001"}], "text": "conformance"},
            "subject": {"identifier": {"system": ID_NUMBER_SYSTEM, "value": self.patient}},
            "context": {"reference": context},
            "occurrenceDateTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "priceOverride": {"value": 0, "currency": "CNY"},
        } | elements
        return json.dumps(item).replace('"value": 0', f'"value": {yuan}')

    async def create_encounter(self) -> Json:
        """Create a visit and return its Encounter."""
        response = await self.request("POST", "/Encounter", self.encounter(self.new_id("V")))
        expect(response.status == CREATED, "201", response)
        return response.json

    async def cancel_encounter(self, encounter: Json) -> None:
        """Cancel a visit of this run."""
        body = self.encounter(encounter["identifier"][0]["value"], "cancelled") | {"id": encounter["id"]}
        response = await self.request("PUT", f"/Encounter/{encounter['id']}", body)
        expect(response.status == OK, "200", response)


def _expect_outcome(response: HttpResponse, *statuses: int) -> None:
    expect(response.status in statuses, f"{' or '.join(map(str, statuses))}", response)
    expect(FHIR_JSON in response.headers.get("content-type", ""), FHIR_JSON, response.headers.get("content-type"))
    expect(response.json.get("resourceType") == "OperationOutcome", "an OperationOutcome", response)


@CHECKS.must
async def capability_statement_is_public(tester: FhirTester) -> None:
    """GET /metadata returns a CapabilityStatement of FHIR R4 without an access token."""
    response = await tester.request("GET", "/metadata", access_token="")
    expect(response.status == OK, "200", response)
    statement = response.json
    expect(statement.get("resourceType") == "CapabilityStatement", "a CapabilityStatement", response)
    expect(str(statement.get("fhirVersion", "")).startswith("4."), "fhirVersion 4", statement.get("fhirVersion"))


@CHECKS.must
async def signed_assertion_yields_a_token(tester: FhirTester) -> None:
    """The SMART configuration names the token endpoint, which issues a token for a signed assertion."""
    configuration = await tester.request("GET", "/.well-known/smart-configuration", access_token="")
    expect("token_endpoint" in configuration.json, "a token_endpoint", configuration)
    response = await tester.request_token(tester.assertion())
    expect(response.status == OK and response.json["token_type"].lower() == "bearer", "a bearer token", response)


@CHECKS.must
async def invalid_assertion_is_rejected(tester: FhirTester) -> None:
    """No token is issued for an assertion that is expired, reused, has a wrong aud or sub, or a foreign signature."""
    once = tester.assertion()
    await tester.request_token(once)
    foreign = jwt.encode({"iss": tester.hospital}, "0" * 64, "HS256")
    for assertion in (
        once,
        tester.assertion(exp=int(time.time()) - 600),
        tester.assertion(aud="https://elsewhere.example/token"),
        tester.assertion(sub="somebody-else"),
        foreign,
    ):
        response = await tester.request_token(assertion)
        expect(response.status in (BAD_REQUEST, UNAUTHORIZED), "400 or 401", response)


@CHECKS.must
async def access_token_is_required(tester: FhirTester) -> None:
    """Requests without a valid access token are rejected with an OperationOutcome."""
    for access_token in ("", "wrong"):
        _expect_outcome(await tester.request("GET", "/Encounter", access_token=access_token), UNAUTHORIZED)


@CHECKS.must
async def visit_leads_to_an_invoice(tester: FhirTester) -> None:
    """A visit with Encounter, ChargeItems and Account leads to an Invoice that is correct to the fen."""
    encounter = await tester.create_encounter()
    context = f"Encounter/{encounter['id']}"
    for line, yuan in (("L1", "10.10"), ("L2", "0.20")):
        response = await tester.request("POST", "/ChargeItem", tester.charge(context, line, yuan))
        expect(response.status == CREATED, "201", response)
    account = (await tester.request("GET", f"/Account/{encounter['id']}")).json | {"status": "inactive"}
    ended = await tester.request("PUT", f"/Account/{encounter['id']}", account)
    expect(ended.status == OK, "200", ended)
    for _ in range(100):
        response = await tester.request("GET", f"/Invoice/{encounter['id']}")
        if response.status == OK and response.json.get("status") in ("issued", "balanced"):
            break
        await asyncio.sleep(0.2)
    expect(response.status == OK, "an Invoice", response)
    gross = json.loads(response.raw, parse_float=str)["totalGross"]["value"]
    expect(gross == "10.30", "totalGross 10.30", gross)
    await tester.cancel_encounter(encounter)


@CHECKS.must
async def repeated_create_is_idempotent(tester: FhirTester) -> None:
    """If-None-Exist finds the existing Encounter, and creating the same ChargeItem again returns the first one."""
    body = tester.encounter(tester.new_id("V"))
    number = body["identifier"][0]["value"]
    headers = {"If_None_Exist": f"identifier={number}"}
    first = await tester.request("POST", "/Encounter", body, **headers)
    second = await tester.request("POST", "/Encounter", body, **headers)
    expect((first.status, second.status) == (CREATED, OK), "201, then 200", (first, second))
    expect(first.json["id"] == second.json["id"], "the same id", second)
    charge = tester.charge(f"Encounter/{first.json['id']}", "L1", "1.00")
    items = [(await tester.request("POST", "/ChargeItem", charge)).json.get("id") for _ in range(2)]
    expect(items[0] == items[1], "the same ChargeItem", items)
    await tester.cancel_encounter(first.json)


@CHECKS.must
async def outdated_version_is_rejected(tester: FhirTester) -> None:
    """An update with an outdated version in If-Match is rejected with 412."""
    encounter = await tester.create_encounter()
    body = tester.encounter(encounter["identifier"][0]["value"], "finished") | {"id": encounter["id"]}
    response = await tester.request("PUT", f"/Encounter/{encounter['id']}", body, If_Match='W/"stale"')
    _expect_outcome(response, PRECONDITION_FAILED)
    await tester.cancel_encounter(encounter)


@CHECKS.must
async def search_finds_identifiers_and_pages(tester: FhirTester) -> None:
    """A search by identifier finds one Encounter, and the ChargeItems of a visit are returned in pages."""
    encounter = await tester.create_encounter()
    number = encounter["identifier"][0]["value"]
    found = (await tester.request("GET", f"/Encounter?identifier={number}")).json
    expect([one["resource"]["id"] for one in found.get("entry", [])] == [encounter["id"]], "the Encounter", found)
    context = f"Encounter/{encounter['id']}"
    for line in range(3):
        await tester.request("POST", "/ChargeItem", tester.charge(context, f"L{line}", "1.00"))
    path, seen = f"/ChargeItem?context={context}&_count=2", 0
    for _ in range(5):
        page = (await tester.request("GET", path)).json
        seen += len(page.get("entry", []))
        links = {one["relation"]: one["url"] for one in page.get("link", [])}
        if "next" not in links:
            break
        path = f"/ChargeItem?{urlsplit(str(links['next'])).query}"
    expect(seen == 3, "3 in two pages", seen)  # noqa: PLR2004  as many as were created
    await tester.cancel_encounter(encounter)


@CHECKS.must
async def transaction_is_atomic(tester: FhirTester) -> None:
    """A transaction with one invalid entry changes nothing; a valid one creates a visit and its charge."""
    number = tester.new_id("V")
    full_url = "urn:uuid:5f4a1c3e-0000-4000-8000-000000000001"

    def bundle(yuan: str) -> str:
        charge = tester.charge(full_url, "L1", yuan)
        opening = json.dumps(tester.encounter(number))
        return (
            '{"resourceType": "Bundle", "type": "transaction", "entry": ['
            f'{{"fullUrl": "{full_url}", "resource": {opening}, "request": {{"method": "POST", "url": "Encounter"}}}},'
            f'{{"resource": {charge}, "request": {{"method": "POST", "url": "ChargeItem"}}}}]}}'
        )

    refused = await tester.request("POST", "", bundle("1.005"))
    expect(refused.status >= BAD_REQUEST, "an error", refused)
    none = (await tester.request("GET", f"/Encounter?identifier={number}")).json
    expect(not none.get("entry"), "no Encounter", none)
    done = await tester.request("POST", "", bundle("1.50"))
    expect(done.status == OK and len(done.json.get("entry", [])) == 2, "two entries", done)  # noqa: PLR2004  as many as were sent
    (one,) = (await tester.request("GET", f"/Encounter?identifier={number}")).json["entry"]
    await tester.cancel_encounter(one["resource"])


@CHECKS.must
async def errors_are_operation_outcomes(tester: FhirTester) -> None:
    """A third decimal place, invalid JSON, and an unknown resource, type or person each return an OperationOutcome."""
    encounter = await tester.create_encounter()
    context = f"Encounter/{encounter['id']}"
    _expect_outcome(await tester.request("POST", "/ChargeItem", tester.charge(context, "L1", "1.005")), 400, 422)
    _expect_outcome(await tester.request("POST", "/ChargeItem", tester.charge(context, "L1", "9" * 400)), 400, 422)
    _expect_outcome(await tester.request("POST", "/ChargeItem", '{"resourceType": '), 400, 422)
    _expect_outcome(await tester.request("POST", "/ChargeItem", "[" * 5_000), 400, 413, 422)
    _expect_outcome(await tester.request("GET", "/Encounter/00000000000000000000000000000000"), NOT_FOUND)
    _expect_outcome(await tester.request("GET", "/Nonsense/1"), NOT_FOUND)
    stranger = tester.encounter(tester.new_id("V"))
    stranger["subject"]["identifier"]["value"] = "11010519491231002X"
    _expect_outcome(await tester.request("POST", "/Encounter", stranger), 404, 409, 422)
    await tester.cancel_encounter(encounter)


@CHECKS.must
async def eligibility_discloses_only_the_amount(tester: FhirTester) -> None:
    """A CoverageEligibilityResponse discloses whether and up to how much the person may pay later, not the score."""
    category = {"coding": [{"code": "EMER"}]}
    request = {
        "resourceType": "CoverageEligibilityRequest",
        "identifier": [{"value": tester.new_id("Q")}],
        "status": "active",
        "purpose": ["benefits"],
        "patient": {"identifier": {"system": ID_NUMBER_SYSTEM, "value": tester.patient}},
        "created": time.strftime("%Y-%m-%d", time.gmtime()),
        "insurer": {"display": "Chengma"},
        "item": [{"category": category}],
    }
    created = await tester.request("POST", "/CoverageEligibilityRequest", request)
    expect(created.status in (OK, CREATED), "201", created)
    found = (await tester.request("GET", f"/CoverageEligibilityResponse?request={created.json['id']}")).json
    (entry,) = found["entry"]
    expect("inforce" in entry["resource"]["insurance"][0], "insurance.inforce", entry)
    expect("score" not in json.dumps(found).lower(), "no score", found)
