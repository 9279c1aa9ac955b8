"""Simulate people, hospitals and officers in a city with open processes, one day at a time, through public interfaces.

A plan lists people and the `scripts` of their visits and claims. A script is a list of actions, one a day, with the
number of the `next` one. The code that made the plan and any later code continue it, so the results can be compared.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from backend.app import create_app
from backend.city.following_releases import load_active_rulebook
from backend.city.service import City
from backend.jobs.tasks import discover_tasks
from backend.security.identity import Caller
from backend.settings import Settings
from tests.accounts import bearer_of
from tests.conftest import Clock
from tests.integrations.his.fhir.hospital_system import charge, credit, encounter
from tests.keys import new_keys
from tests.migrations.old_city import Json, Queue, set_clocks
from tests.services.talent_code.sample_rules import write_rules

HANDOVER = datetime(2026, 10, 20, 4, 0, tzinfo=UTC)
DAYS_BEFORE, DAYS_AFTER = 58, 60
LONG_STEPS, LONG_STEP = 8, timedelta(days=20)
"""After those days, time passes in long steps: the last instalments become due, and a new year has new budgets."""

HOSPITAL = "HZ001"
BUDGET_FEN = 600_00
"""The yearly budget of each benefit, which is too small for all claims."""

REASON = {"zh": "经复核", "en": "After a review"}


def settings_of(folder: Path, store: str) -> Settings:
    """Return the settings of the city whose keys and sandboxes are in a folder, and write its rules."""
    return Settings(
        store=store,
        mongo_driver="pymongo",
        keys=new_keys(folder / "keys"),
        sandbox=str(folder / "sandbox.db"),
        rules=str(write_rules(folder / "rules", BUDGET_FEN)),
        development=True,
        access_log=False,
        person_requests_per_minute=100_000,
        address_requests_per_minute=100_000,
    )


class CitySimulation:
    """The city without a network: requests, jobs and sweeps run one after the other."""

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
        """Run the sweeps and their jobs until none is left, three times within minutes so that retries run too."""
        for minutes in (0, 2, 10):
            self.clock.now += timedelta(minutes=minutes)
            for _ in range(20):
                for sweep in self.sweeps:
                    await sweep(self.city)
                if not self.queue.jobs:
                    break
                await self.run_jobs()

    async def pass_day(self) -> None:
        """Run the next action of each script, then sweep; the clock ends at the same time of the next day."""
        today = self.clock.now
        for script in self.plan["scripts"]:
            await self.run_next_action(script)
        await self.sweep()
        self.clock.now = today + timedelta(days=1)

    async def pass_half_a_year(self) -> None:
        """Continue the plan from the handover until nothing is due; finally everyone pays except those who never do."""
        self.clock.now = HANDOVER + timedelta(minutes=10)
        for script in self.plan["scripts"][::2]:
            if script["interrupted"]:
                await self.run_next_action(
                    script
                )  # the app or the hospital repeats an interrupted request before any sweep runs
        self.clock.now = HANDOVER + timedelta(days=1)
        for _ in range(DAYS_AFTER):
            await self.pass_day()
        for step in range(LONG_STEPS):
            last = step == LONG_STEPS - 2
            for script in self.plan["scripts"]:
                if script["by_parts"] or (last and script["visit"] and script["kind"] != "never"):
                    await self.do(script, "pay", f"{script['id']}-{self.clock.now.date()}")
            await self.sweep()
            self.clock.now += LONG_STEP

    # ── requests ──

    async def request(
        self, method: str, path: str, caller: Caller, body: Json = None, key: str | None = None
    ) -> httpx.Response:
        headers = await bearer_of(self.app, caller) | ({"Idempotency-Key": key} if key else {})
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
        caller = Caller(f"account-{who}", "s", person["citizen"], level=3)
        return await self.request(method, f"/v1/me/{path}", caller, body, key)

    # ── scripts ──

    async def run_next_action(self, script: Json) -> None:
        """Run the next action of a script that has started and is not finished, and note the status of the answer."""
        day = (self.clock.now.date() - HANDOVER.date()).days
        if day < script["start"] or script["next"] >= len(script["actions"]):
            return
        name, number = script["actions"][script["next"]], script["next"]
        if name.startswith("wait:"):
            script["waited"] += 1
            if script["waited"] < int(name.removeprefix("wait:")):
                return
            script["waited"] = 0
        else:
            script["interrupted"] = True
            status = await self.do(script, name, f"{script['id']}-{number}")
            script["answers"].append(f"{name} {status}")
            script["interrupted"] = False
        script["next"] += 1

    async def do(self, script: Json, action: str, key: str) -> int:
        """Do an action and return the status of its last answer, or 0 if no request was sent."""
        name, *details = action.split(":")
        if name in _AT_HOSPITAL:
            return await self.visit(script, name, details)
        if name in ("pay", "family"):
            return await self.pay(script, name, key)
        if name in ("claim", "appeal", "uphold", "drop", "repay", "leave", "review"):
            return await self.claim(script, name, details, key)
        self.change_records(self.plan["people"][script["who"]], name, details)
        return 0

    def change_records(self, person: Json, name: str, details: list[str]) -> None:
        """Change the records of a person in a registry or a bank."""
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

    async def visit(self, script: Json, name: str, details: list[str]) -> int:
        """Send a report of the hospital about a visit."""
        at = self.clock.now.isoformat()
        if name == "open" or "ref" not in script:
            number = self.plan["people"][script["who"]]["number"]
            period = {"start": script.setdefault("opened", at)}
            answer = await self.fhir(
                "POST", "Encounter", encounter(number, script["id"], script["class"], period=period)
            )
            if answer.status_code not in (200, 201):
                return answer.status_code
            script["ref"] = answer.json()["id"]
        visit = f"Encounter/{script['ref']}"
        match name:
            case "charge":
                line, yuan = details
                when = script.setdefault(f"at {line}", at)
                body = charge(visit, line, float(yuan), occurrenceDateTime=when)
                answer = await self.fhir("POST", "ChargeItem", body)
                script[line] = answer.json()["id"]
            case "credit":
                line, of, yuan = details
                when = script.setdefault(f"at {line}", at)
                body = credit(visit, f"ChargeItem/{script[of]}", line, float(yuan), occurrenceDateTime=when)
                answer = await self.fhir("POST", "ChargeItem", body)
            case "close":
                account = (await self.fhir("GET", f"Account/{script['ref']}")).json()
                answer = await self.fhir("PUT", f"Account/{script['ref']}", account | {"status": "inactive"})
            case "discharge" | "reopen" | "cancel":
                status = {"discharge": "finished", "reopen": "in-progress", "cancel": "cancelled"}[name]
                shown = (await self.fhir("GET", visit)).json()
                answer = await self.fhir("PUT", visit, shown | {"status": status})
        return answer.status_code

    async def pay(self, script: Json, name: str, key: str) -> int:
        """Pay the amount due now for a visit; a repeated request has the amount of the first one."""
        payer = script["who"] if name == "pay" else self.plan["people"][script["who"]]["payer"]
        if key not in script["amounts"]:
            shown = (await self.citizen(payer, "GET", f"visits/{script['ref']}")).json()
            if shown["bill"] is None or shown["bill"]["payable_now_fen"] <= 0:
                return 0
            script["amounts"][key] = shown["bill"]["payable_now_fen"]
        body = {"amount_fen": script["amounts"][key], "scope": "now"}
        return (await self.citizen(payer, "POST", f"visits/{script['ref']}/payments", body, key)).status_code

    async def claim(self, script: Json, name: str, details: list[str], key: str) -> int:
        """Claim a benefit, or act on the person's newest claim."""
        who = script["who"]
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
                body = {"amount_fen": script["amounts"].setdefault(key, owed)}
                answer = await self.citizen(who, "POST", f"{path}/repayments", body, key)
        return answer.status_code


_AT_HOSPITAL = ("open", "charge", "credit", "close", "discharge", "reopen", "cancel")


@asynccontextmanager
async def open_simulation(settings: Settings, clock: Clock, plan: Mapping[str, Json]) -> AsyncGenerator[CitySimulation]:
    """Open the city of these settings with a queue of jobs that run one after the other."""
    queue = Queue()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("backend.app.open_jobs", lambda *_: queue)
        app = create_app(settings, clock=clock)
    set_clocks(app.state.city, clock)
    app.state.city = await load_active_rulebook(app.state.city)
    simulation = CitySimulation(app, clock, queue, plan)
    try:
        yield simulation
    finally:
        await simulation.http.aclose()
        await simulation.city.store.close()
