"""Read the figures of a city from its answers and stored documents: every amount, stage, breach and notification.

Only this module reads stored documents. When a service moves or renames a stored field, functions such as `_accounts`
change, and the expected figures do not.
"""

import sqlite3
from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tests.migrations.old_city import Json

if TYPE_CHECKING:
    from tests.migrations.open_city import CitySimulation

SHOWN_BILL = ("cash_fen", "covered_fen", "exception_fen", "counter_fen", "paid_fen", "owed_fen", "payable_now_fen")
SHOWN_LIMIT = ("limit_fen", "used_fen", "held_fen", "available_fen", "over_limit_fen")
SHOWN_CLAIM = ("benefit", "stage", "amount_fen", "paid_fen", "returned_fen")
STORED_BUDGET = ("limit_fen", "quota", "reserved_fen", "paid_fen", "returned_fen", "quota_used")


async def read_figures(simulation: "CitySimulation") -> Json:
    """Return the figures of a city, by section and id."""
    bodies = {
        name: {body["id"]: body for body in await _bodies(simulation, name)}
        for name in (
            "medical_visits",
            "medical_credit_enrolments",
            "credit_accounts",
            "claims",
            "budgets",
            "reconciliations",
        )
    }
    visits, claims = bodies["medical_visits"], bodies["claims"]
    people: Json = simulation.plan["people"]
    names = {person["citizen"]: who for who, person in people.items()}
    return {
        "visits": {
            script["id"]: await _visit(simulation, script, visits[script["ref"]])
            for script in simulation.plan["scripts"]
            if script["visit"] and script.get("ref") in visits
        },
        "credit": {
            who: await _credit(simulation, who, bodies["medical_credit_enrolments"][person["citizen"]])
            for who, person in people.items()
            if not person["claims"]
        },
        "holds": {
            one["id"]: _hold(one, simulation.clock.now) for account in _accounts(bodies) for one in account["holds"]
        },
        "claims": {
            body["id"]: await _claim(simulation, names[body["subject"]], body)
            for body in sorted(claims.values(), key=lambda body: (names[body["subject"]], body["claimed_ms"]))
        },
        "budgets": {
            name: {field: body.get(field) for field in STORED_BUDGET} for name, body in bodies["budgets"].items()
        },
        "repairs": {
            key: resolution["state"]
            for body in bodies["reconciliations"].values()
            for key, resolution in body["resolutions"].items()
        },
        "answers": {script["id"]: script["answers"] for script in simulation.plan["scripts"]},
        **_records(simulation.city.settings.sandbox),
    }


async def _bodies(simulation: "CitySimulation", collection: str) -> list[Json]:
    try:
        return await simulation.city.store.read_bodies(collection, "", 100_000)
    except sqlite3.OperationalError:
        return []  # there is no such collection any more


def _accounts(bodies: Json) -> list[Json]:
    """Return the credit accounts: part of the enrolment today, documents of their own in earlier editions."""
    inside = [
        account
        for enrolment in bodies["medical_credit_enrolments"].values()
        for account in (enrolment.get("credit") or {}).values()
    ]
    return inside or list(bodies["credit_accounts"].values())


async def _visit(simulation: "CitySimulation", script: Json, body: Json) -> Json:
    shown = (await simulation.citizen(script["who"], "GET", f"visits/{body['id']}")).json()
    bill = shown["bill"]
    return {
        "stage": shown["stage"],
        "medical_fee_fen": shown["medical_fee_fen"],
        "shares": [_amounts(one) for one in shown["shares"]],
        "bill": bill and {name: bill[name] for name in SHOWN_BILL},
        "unpaid": bill and [[one["amount_fen"], one["due_at"][:10]] for one in bill["unpaid"]],
        "schedule": body["bill"]
        and [[one["amount_fen"], one["due_at"].date().isoformat()] for one in body["bill"]["schedule"]],
        "transfers": sorted(
            [one["id"], one["kind"], one["method"], one["amount_fen"], one["state"]] for one in shown["transfers"]
        ),
        "notices": dict(sorted(Counter(f"{one['kind']} {one['amount_fen']}" for one in body["notices"]).items())),
        "unsent": sum(not one["sent"] for one in body["notices"]),
        "breached_on": body["breached_at"] and body["breached_at"].date().isoformat(),
    }


async def _credit(simulation: "CitySimulation", who: str, body: Json) -> Json:
    shown = (await simulation.citizen(who, "GET", "medical-credit")).json()
    return {
        "standing": shown["standing"],
        "limits": {one["purpose"]: {name: one[name] for name in SHOWN_LIMIT} for one in shown["limits"]},
        "breaches": sorted([one.get("bill") or one["visit"], one["at"].date().isoformat()] for one in body["breaches"]),
        "paid_on_time_on": body["paid_on_time_at"] and body["paid_on_time_at"].date().isoformat(),
    }


def _hold(one: Json, now: datetime) -> Json:
    moved: Counter[str] = Counter()
    for transfer in one["transfers"]:
        moved[transfer["kind"]] += transfer["amount_fen"]
    expired = one["state"] == "held" and one["expires_at"] <= now
    return {
        "state": "expired" if expired else one["state"],
        "amount_fen": one["amount_fen"],
        "posted_fen": one["posted_fen"],
        "over_limit": one["over_limit"],
        "moved": dict(sorted(moved.items())),
    }


async def _claim(simulation: "CitySimulation", who: str, body: Json) -> Json:
    shown = (await simulation.citizen(who, "GET", f"claims/{body['id']}")).json()
    return {
        "who": who,
        **{name: shown[name] for name in SHOWN_CLAIM},
        "instalments": [[one["amount_fen"], one["state"]] for one in shown["instalments"]],
        "clawback": _amounts(shown["clawback"]),
        "budget": body["budget"],
        "state": body["state"],
        "unblocked": body["unblocked"],
        "notices": dict(sorted(Counter(f"{one['kind']} {one['amount_fen']}" for one in body["notifications"]).items())),
        "unsent": sum(not one["sent"] for one in body["notifications"]),
    }


def _amounts(shown: Any) -> Json:  # noqa: ANN401  JSON
    return {name: value for name, value in (shown or {}).items() if name.endswith("_fen") or name == "kind"}


def _records(sandbox: str) -> Json:
    """Return the records of the bank and the insurance: all transfers, and the settlements in force."""
    with sqlite3.connect(sandbox) as file:
        transfers, payouts = (
            {row[0]: list(row[1:]) for row in file.execute(f"SELECT id, kind, payer, payment, fen, state FROM {table}")}  # noqa: S608  two names
            for table in ("transfers", "payouts")
        )
        settled = file.execute(
            "SELECT visit, medfee, fund, account, cash FROM settlements WHERE state = 'in_force' ORDER BY visit"
        )
        settlements = {row[0]: list(row[1:]) for row in settled}
        balances = dict(file.execute("SELECT person, fen FROM balances ORDER BY person").fetchall())
    file.close()
    return {"transfers": transfers, "payouts": payouts, "settlements": settlements, "balances": balances}
