"""What people, hospitals and officers do in a city with open processes, a day at a time, through public interfaces.

A plan lists people and the `lives` of visits and claims. A life is a list of actions, one a day, with the number of the
`next` one. The same plan is carried on by the code that made it and by any later code, so the results can be compared.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from backend.app import create_app
from backend.city.releases import load_active_rulebook
from backend.city.service import City
from backend.jobs.tasks import discover_tasks
from backend.security.identity import Caller
from backend.settings import Settings
from tests.conftest import Clock
from tests.integrations.his.fhir.hospital_system import charge, credit, encounter
from tests.migrations.old_city import Json, Queue, set_clocks
from tests.services.talent_code.sample_rules import write_rules

HANDOVER = datetime(2026, 10, 20, 4, 0, tzinfo=UTC)
DAYS_BEFORE, DAYS_AFTER = 58, 60
LONG_STEPS, LONG_STEP = 8, timedelta(days=20)
"""After the days, time passes in long steps: the last instalments are due, and a new year brings new budgets."""

HOSPITAL = "HZ001"
BUDGET_FEN = 600_00
"""The budget of each benefit for a year, which is too small for all claims."""

REASON = {"zh": "经复核", "en": "After a review"}


def settings_of(folder: Path, store: str) -> Settings:
    """Return the settings of the city whose keys and sandboxes are in a folder, and write its rules."""
    return Settings(
        store=store,
        mongo_driver="pymongo",
        keys=str(folder / "keys"),
        sandbox=str(folder / "sandbox.db"),
        rules=str(write_rules(folder / "rules", BUDGET_FEN)),
        development=True,
        access_log=False,
        person_requests_per_minute=100_000,
        address_requests_per_minute=100_000,
    )


class Town:
    """The city's server without a network: requests, and jobs and sweeps that run one after the other."""

    def __init__(self, app: Any, clock: Clock, queue: Queue, plan: Json) -> None:  # noqa: ANN401  a Litestar
        self.app, self.clock, self.queue, self.plan = app, clock, queue, plan
        self.tasks = discover_tasks()
        self.sweeps = [
            task
            for name, task in sorted(self.tasks.items())
            if task.every is not None and not name.startswith(("account.", "health_code."))
        ]
        transport = httpx.ASGITransport(app)
        self.http = httpx.AsyncClient(transport=transport, base_url="http://testserver")

    @property
    def city(self) -> City:
        return self.app.state.city

    def port(self, integration: str) -> Any:  # noqa: ANN401  each sandbox has its own controls
        """Return the sandbox of an integration."""
        module = f"integrations.{integration}.sandbox"
        return next(port for port in self.city.ports.values() if type(port).__module__ == module)

    # ── time ──

    async def run_jobs(self) -> None:
        while self.queue.jobs:
            job = self.queue.jobs.pop(0)
            await self.tasks[job.task](self.city, *job.arguments)

    async def sweep(self) -> None:
        """Run the sweeps and their jobs until none is left, three times within minutes, for what is retried soon."""
        for minutes in (0, 2, 10):
            self.clock.now += timedelta(minutes=minutes)
            for _ in range(20):
                for sweep in self.sweeps:
                    await sweep(self.city)
                if not self.queue.jobs:
                    break
                await self.run_jobs()

    async def pass_day(self) -> None:
        """Let everyone do their next action, then sweep; the clock ends at the same time of the next day."""
        today = self.clock.now
        for life in self.plan["lives"]:
            await self.live(life)
        await self.sweep()
        self.clock.now = today + timedelta(days=1)

    async def pass_half_a_year(self) -> None:
        """Carry on with the plan from the handover until nothing is due; in the end all pay but those who never do."""
        self.clock.now = HANDOVER + timedelta(minutes=10)
        for life in self.plan["lives"][::2]:
            if life["interrupted"]:
                await self.live(life)  # the app or the hospital repeats an interrupted request before any sweep runs
        self.clock.now = HANDOVER + timedelta(days=1)
        for _ in range(DAYS_AFTER):
            await self.pass_day()
        for step in range(LONG_STEPS):
            last = step == LONG_STEPS - 2
            for life in self.plan["lives"]:
                if life["by_parts"] or (last and life["visit"] and life["kind"] != "never"):
                    await self.do(life, "pay", f"{life['id']}-{self.clock.now.date()}")
            await self.sweep()
            self.clock.now += LONG_STEP

    # ── requests ──

    async def request(
        self, method: str, path: str, caller: Caller, body: Json = None, key: str | None = None
    ) -> httpx.Response:
        token = self.app.state.access.issue(caller, self.clock.now)
        headers = {"Authorization": f"Bearer {token}"} | ({"Idempotency-Key": key} if key else {})
        return await self.http.request(method, path, json=body, headers=headers)

    async def fhir(self, method: str, path: str, body: Json = None) -> httpx.Response:
        hospital = Caller(f"hospital:{HOSPITAL}", "s", roles=("hospital",), scopes=("system/*.cruds",))
        return await self.request(method, f"/fhir/{path}", hospital, body)

    async def officer(self, method: str, path: str, body: Json, name: str = "officer") -> httpx.Response:
        roles = ("talent_officer", "operator", "approver")
        return await self.request(method, path, Caller(name, "s", roles=roles), body)

    async def citizen(
        self, who: str, method: str, path: str, body: Json = None, key: str | None = None
    ) -> httpx.Response:
        person = self.plan["people"][who]
        caller = Caller(f"account-{who}", "s", person["citizen"], ("citizen",))
        return await self.request(method, f"/v1/me/{path}", caller, body, key)

    # ── lives ──

    async def live(self, life: Json) -> None:
        """Do the next action of a life, if it has begun and has one, and note the status of the answer."""
        day = (self.clock.now.date() - HANDOVER.date()).days
        if day < life["start"] or life["next"] >= len(life["actions"]):
            return
        name, number = life["actions"][life["next"]], life["next"]
        if name.startswith("wait:"):
            life["waited"] += 1
            if life["waited"] < int(name.removeprefix("wait:")):
                return
            life["waited"] = 0
        else:
            life["interrupted"] = True
            status = await self.do(life, name, f"{life['id']}-{number}")
            life["answers"].append(f"{name} {status}")
            life["interrupted"] = False
        life["next"] += 1

    async def do(self, life: Json, action: str, key: str) -> int:
        """Do an action and return the status of its last answer, or 0 if no request was sent."""
        name, *details = action.split(":")
        if name in _AT_HOSPITAL:
            return await self.visit(life, name, details)
        if name in ("pay", "family"):
            return await self.pay(life, name, key)
        if name in ("claim", "appeal", "uphold", "drop", "repay", "leave", "review"):
            return await self.claim(life, name, details, key)
        self.change_outside(self.plan["people"][life["who"]], name, details)
        return 0

    def change_outside(self, person: Json, name: str, details: list[str]) -> None:
        """Change what a registry or a bank knows of a person."""
        number = person["number"]
        match name:
            case "close_bank":
                self.port("payment").close_account(person["citizen"])
            case "open_bank":
                self.port("payment").reopen_account(person["citizen"])
            case "close_card":
                self.port("payout").close_account(person["card"])
            case "open_card":
                self.port("payout").reopen_account(person["card"])
            case "months":
                self.port("social_insurance").set_months(number, int(details[0]))
            case "homes":
                self.port("property_register").set_homes(number, int(details[0]))
            case "invoiced":
                self.port("tax").set_invoiced(number, "spent", int(details[0]))
            case "demote":
                self.port("employment").set_merits(number)
            case "lose":
                self.port("employment").set_merits(number)
                self.port("education").set_degrees(number)
            case _:
                raise AssertionError(name)

    async def visit(self, life: Json, name: str, details: list[str]) -> int:
        """Send what the hospital reports about a visit."""
        at = self.clock.now.isoformat()
        if name == "open" or "ref" not in life:
            number = self.plan["people"][life["who"]]["number"]
            period = {"start": life.setdefault("opened", at)}
            answer = await self.fhir("POST", "Encounter", encounter(number, life["id"], life["class"], period=period))
            if answer.status_code not in (200, 201):
                return answer.status_code
            life["ref"] = answer.json()["id"]
        visit = f"Encounter/{life['ref']}"
        match name:
            case "charge":
                line, yuan = details
                when = life.setdefault(f"at {line}", at)
                body = charge(visit, line, float(yuan), occurrenceDateTime=when)
                answer = await self.fhir("POST", "ChargeItem", body)
                life[line] = answer.json()["id"]
            case "credit":
                line, of, yuan = details
                when = life.setdefault(f"at {line}", at)
                body = credit(visit, f"ChargeItem/{life[of]}", line, float(yuan), occurrenceDateTime=when)
                answer = await self.fhir("POST", "ChargeItem", body)
            case "close":
                account = (await self.fhir("GET", f"Account/{life['ref']}")).json()
                answer = await self.fhir("PUT", f"Account/{life['ref']}", account | {"status": "inactive"})
            case "discharge" | "reopen" | "cancel":
                status = {"discharge": "finished", "reopen": "in-progress", "cancel": "cancelled"}[name]
                shown = (await self.fhir("GET", visit)).json()
                answer = await self.fhir("PUT", visit, shown | {"status": status})
        return answer.status_code

    async def pay(self, life: Json, name: str, key: str) -> int:
        """Pay what is due now of a visit, or what was due when the same request was first sent."""
        payer = life["who"] if name == "pay" else self.plan["people"][life["who"]]["payer"]
        if key not in life["amounts"]:
            shown = (await self.citizen(payer, "GET", f"visits/{life['ref']}")).json()
            if shown["bill"] is None or shown["bill"]["payable_now_fen"] <= 0:
                return 0
            life["amounts"][key] = shown["bill"]["payable_now_fen"]
        body = {"amount_fen": life["amounts"][key], "scope": "now"}
        return (await self.citizen(payer, "POST", f"visits/{life['ref']}/payments", body, key)).status_code

    async def claim(self, life: Json, name: str, details: list[str], key: str) -> int:
        """Claim a benefit, or act on the person's newest claim."""
        who = life["who"]
        if name == "claim":
            stated = {"spent_fen": int(details[1])} if details[1:] else {}
            return (await self.citizen(who, "POST", "claims", {"benefit": details[0], **stated}, key)).status_code
        if name == "review":
            body = {"id_number": self.plan["people"][who]["number"]}
            return (await self.officer("POST", "/v1/talent-reviews", body)).status_code
        newest = (await self.citizen(who, "GET", "benefits")).json()["claimed"][0]
        path = f"claims/{newest['id']}"
        match name:
            case "appeal":
                answer = await self.citizen(who, "POST", f"{path}/appeal", {"text": "I sold it"})
            case "uphold" | "drop":
                body = {"decision": name, "reason": REASON}
                answer = await self.officer("PUT", f"/v1/talent-appeals/{newest['id']}", body)
            case "leave":
                answer = await self.citizen(who, "DELETE", path)
            case _:
                owed = newest["clawback"]["owed_fen"] if newest["clawback"] else 1
                body = {"amount_fen": life["amounts"].setdefault(key, owed)}
                answer = await self.citizen(who, "POST", f"{path}/repayments", body, key)
        return answer.status_code


_AT_HOSPITAL = ("open", "charge", "credit", "close", "discharge", "reopen", "cancel")


@asynccontextmanager
async def open_town(settings: Settings, clock: Clock, plan: Mapping[str, Json]) -> AsyncGenerator[Town]:
    """Open the city of these settings with a queue whose jobs the town runs in order."""
    queue = Queue()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("backend.app.open_jobs", lambda *_: queue)
        app = create_app(settings, clock=clock)
    set_clocks(app.state.city, clock)
    app.state.city = await load_active_rulebook(app.state.city)
    town = Town(app, clock, queue, plan)
    try:
        yield town
    finally:
        await town.http.aclose()
        await town.city.store.close()
