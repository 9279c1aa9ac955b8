"""Make `city_of_<commit>/`: a city in which many processes are open, and how the code that made it completes them.

Run it in a checkout of the commit: `python -m tests.migrations.make_open_city city_of_<commit>`. The ids of people and
receipts are random, so another run gives another city. People live through `DAYS_BEFORE` days. On the last day many
requests are interrupted: the process is killed before or after one of its writes, the hint of a job is lost, or the
insurance or a bank fails. Then the documents, the books of the sandboxes and the plan are written as text, and the same
code carries on with the plan on a copy; what it reaches is written to `expected.json`.
"""

import asyncio
import copy
import itertools
import json
import shutil
import sqlite3
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from pymongo import MongoClient

from backend.app import documents_of
from backend.city.id_number import parse_id_number
from backend.city.person import find_or_create_person
from backend.city.service import discover_services
from backend.services.medical_credit.model.hospital import Hospital
from backend.services.talent_code.ports import TaxYear
from backend.settings import Settings
from backend.store.connect import open_store, prepare_store
from backend.store.migrations import find_migrations, migrate
from integrations.his.hl7v2.message_receiver import receive_message
from integrations.his.hl7v2.mllp_listener import Peer
from tests.conftest import Clock
from tests.integrations.his.hospital import Hl7System, transaction
from tests.migrations.figures import read_figures
from tests.migrations.old_city import Json
from tests.migrations.open_city import DAYS_BEFORE, HANDOVER, HOSPITAL, Town, open_town, settings_of
from tests.mongod import mongod
from tests.services.health_code.scene import id_number
from tests.services.killing import Killed, KillingStore
from tests.services.medical_credit.scene import FACTS
from tests.services.talent_code.world import DOCTOR, LEADER, card_number

Life = dict[str, Any]

VISITS: dict[str, tuple[str, list[str]]] = {
    "plain": ("AMB", ["open", "charge:L1:100.37", "charge:L2:250.01", "close", "pay"]),
    "refund": ("AMB", ["open", "charge:L1:300.33", "close", "pay", "credit:L2:L1:-120.11", "wait:2"]),
    "again": ("AMB", ["open", "charge:L1:200.02", "charge:L2:90.09", "close", "credit:L3:L1:-20.21", "pay"]),
    "cancel": ("AMB", ["open", "charge:L1:80.08", "close", "pay", "cancel"]),
    "unmade": ("AMB", ["open", "charge:L1:20.00", "cancel"]),
    "reopen": ("AMB", ["open", "charge:L1:60.60", "close", "reopen", "charge:L2:70.70", "close", "pay"]),
    "soft": ("AMB", ["open", "charge:L1:44.44", "discharge", "wait:2", "pay"]),
    "debit": ("AMB", ["open", "charge:L1:500.55", "close", "wait:4"]),
    "poor": ("AMB", ["close_bank", "open", "charge:L1:410.14", "close", "wait:9", "open_bank", "pay"]),
    "poor_debit": ("AMB", ["close_bank", "open", "charge:L1:610.16", "close", "wait:9", "open_bank", "pay"]),
    "late": ("AMB", ["open", "charge:L1:120.21", "close", "wait:7", "pay"]),
    "never": ("AMB", ["open", "charge:L1:130.31", "close", "wait:20"]),
    "held": ("AMB", ["open", "wait:40", "charge:L1:20.20", "close", "pay"]),
    "stay": ("IMP", ["open", "charge:L1:20000.00", "charge:L2:4999.99", "close", "pay"]),
    "urgent": ("EMER", ["open", "charge:L1:19999.99", "close", "pay", "wait:29", "pay"]),
    "family": ("AMB", ["open", "charge:L1:210.12", "close", "family"]),
    "regular": ("AMB", ["open", "charge:L1:55.55", "close", "pay"]),
    "reconciled": ("AMB", ["open", "charge:L1:77.11", "close", "pay"]),
    "early": ("AMB", ["open", "wait:1", "close", "pay"]),  # its charges arrive before it is opened
}
"""The hospital's class of each kind of visit, and its actions."""

CLAIMS: dict[str, list[str]] = {
    "plain": ["claim:plain"],
    "halves": ["claim:halves", "wait:3", "months:6", "wait:2"],
    "thirds": ["claim:thirds", "wait:2", "months:3", "wait:2", "months:12"],
    "spent": ["invoiced:1300", "claim:spent:1300", "wait:6"],
    "appeal": ["invoiced:500", "claim:spent:1399", "wait:5", "appeal", "wait:3", "uphold", "wait:50"],
    "won": ["invoiced:500", "claim:spent:1388", "wait:5", "appeal", "wait:3", "drop"],
    "repay": ["invoiced:700", "claim:spent:1377", "wait:5", "repay"],
    "collect": ["homes:1", "claim:spent:1366", "wait:50"],
    "uncollected": ["homes:1", "claim:spent:1355", "close_card", "wait:60", "open_card"],
    "demoted": ["claim:thirds", "demote", "wait:5", "wait:20", "months:12"],
    "contested": ["claim:thirds", "demote", "wait:5", "appeal", "wait:2", "uphold", "months:12"],
    "lost": ["claim:halves", "wait:2", "lose", "review", "wait:2"],
    "leave": ["claim:thirds", "wait:2", "leave"],
    "failed": ["close_card", "claim:plain", "wait:2", "open_card", "claim:plain"],
    "unpaid_part": ["claim:halves", "close_card", "months:6", "wait:3", "wait:6", "open_card"],
}

KILLS = {
    "open": (1, 3, 5),
    "charge": (1,),
    "close": (1, 3, 4, 5, 7, 9),
    "pay": (3, 4, 5, 7, 9),
    "family": (3,),
    "credit": (1, 3, 5, 7, 8, 9, 11, 12),
    "cancel": (1, 3, 5, 7, 8, 9, 11),
    "reopen": (1, 3),
    "claim": (2, 3, 5, 7, 8, 9, 11, 12, 13),
    "appeal": (1,),
    "repay": (3, 4, 5, 7),
    "leave": (1, 3, 5),
    "review": (1, 3, 5, 7),
}
"""Where the process is killed in an action: before a write for an even number, after it for an odd one."""

FAULTS: dict[str, tuple[tuple[str, str], ...]] = {
    "close": (("settle", "lost_before"), ("settle", "lost_after"), ("settle", "refused")),
    "pay": (("pay", "lost_before"), ("pay", "lost_after"), ("pay", "pending"), ("pay", "refused")),
    "family": (("pay", "pending"),),
    "credit": (("cancel", "lost_after"), ("refund", "lost_after"), ("refund", "pending"), ("refund", "refused")),
    "cancel": (("cancel", "lost_before"), ("refund", "lost_before")),
    "claim": (("pay_out", "lost_before"), ("pay_out", "lost_after"), ("pay_out", "pending"), ("pay_out", "refused")),
    "repay": (("collect", "lost_before"), ("collect", "pending"), ("collect", "refused")),
}

REPAIRS = 6

THOROUGH = {
    ("plain", "open"),
    ("plain", "close"),
    ("plain", "pay"),
    ("refund", "credit"),
    ("cancel", "cancel"),
    ("claim plain", "claim"),
    ("claim repay", "repay"),
    ("claim leave", "leave"),
    ("claim lost", "review"),
}
"""The actions that are interrupted in every way; of the others only some ways are made."""


def lives() -> Iterator[Life]:
    """Yield the lives of the plan, each at another point on the day of the handover."""
    for kind, (class_, actions) in VISITS.items():
        yield from stops(f"{kind}", actions, {"class": class_, "visit": True})
    for kind, actions in CLAIMS.items():
        yield from stops(f"claim {kind}", actions, {"visit": False})


def stops(kind: str, actions: list[str], fields: Json) -> Iterator[Life]:
    begun = itertools.count(1)

    def life(age: int, **how: Any) -> Life:  # noqa: ANN401  kill, fault or hint
        name = f"{kind.replace(' ', '-').replace('_', '-').upper()}-{next(begun)}"
        common = {"kind": kind, "next": 0, "waited": 0, "interrupted": False, "answers": [], "amounts": {}}
        how = {"kill": None, "fault": None, "hint_lost": False} | how
        return {"id": name, "actions": actions, "start": -age, "by_parts": kind == "urgent"} | common | fields | how

    if kind == "early":
        yield from (life(-day, message_killed=killed) for day in (1, 2) for killed in (False, True))
        return
    if kind == "reconciled":
        yield from (life(4) for _ in range(REPAIRS))
        return
    if kind == "regular":
        yield from (life(age) for age in (33, 30, 20, 11, 5, 1))
        return
    age = 0
    for number, action in enumerate(actions):
        name, _, detail = action.partition(":")
        if name == "wait":
            days = int(detail)
            yield from (
                life(age + passed) for passed in sorted({1, days // 2, days - 1} if days > 5 else {1}) if passed < days
            )
            age += days
            continue
        every = (kind, name) in THOROUGH
        kills, faults = KILLS.get(name, ()), FAULTS.get(name, ())
        chosen = sum(map(ord, kind)) + number
        for place, kill in enumerate(kills):
            if every or place == chosen % len(kills):
                yield life(age, kill=kill)
        for place, fault in enumerate(faults):
            if every or place == chosen % len(faults):
                yield life(age, fault=fault)
        if name in ("open", "close", "claim") and every:
            yield life(age, hint_lost=True)
        age += 1


def plan_of(found: Sequence[Life]) -> Json:
    """Give each life a person; undisturbed visits of one kind share one."""
    people: dict[str, Json] = {}
    for number, life in enumerate(found):
        shared = life["visit"] and life["kind"] in ("plain", "refund", "cancel", "again", "unmade", "reopen")
        who = f"{life['kind']} {number // 2 * 2}" if shared else f"{life['kind']} {number}"
        who = "regular" if life["kind"] == "regular" else who
        life["who"] = who
        people.setdefault(who, {"kind": life["kind"], "claims": not life["visit"], "balance_fen": 0 if shared else 999})
    people["payer"] = {"kind": "payer", "claims": False, "balance_fen": 0}
    for serial, person in enumerate(people.values(), 1):
        person |= {"number": id_number(serial, 1986), "card": card_number(serial), "payer": "payer"}
    return {"people": people, "lives": list(found)}


async def fill(town: Town) -> None:
    """Register the people with the registries, enrol them, and connect the hospital."""
    store = town.city.store
    await store.insert(Hospital(id=HOSPITAL, name="市第一医院", since_ms=0, jwks={"keys": []}))
    for who, person in town.plan["people"].items():
        number = person["number"]
        known = parse_id_number(number, town.city.today())
        person["citizen"] = (await find_or_create_person(store, town.city.encryption, known, town.clock.now)).id
        if person["claims"]:
            merits = (LEADER,) if person["kind"] in ("claim demoted", "claim contested") else ()
            town.port("education").set_degrees(number, DOCTOR)
            town.port("employment").set_merits(number, *merits)
            town.port("property_register").set_homes(number, 0)
            town.port("social_insurance").set_months(number, 0)
            for year in (2025, 2026):
                town.port("tax").set_year(number, TaxYear(year, 0, 0))
            for qualification in (DOCTOR, *merits):
                body = {"qualification": msgspec.to_builtins(qualification)}
                answer = await town.citizen(who, "POST", "talent/evidence", body)
                assert answer.status_code == 201, answer.text
            answer = await town.citizen(who, "PUT", "talent/account", {"number": person["card"]})
            assert answer.status_code == 200, answer.text
        else:
            town.port("insurance").set_balance(number, person["balance_fen"])
            town.port("credit_registry").set_facts(number, FACTS)
            debit = person["kind"] in ("debit", "poor_debit")
            body = {"agreement": "2026-01", "i_agree": True, "automatic_debit": debit}
            answer = await town.citizen(who, "POST", "medical-credit", body)
            assert answer.status_code == 201, answer.text
    for who, person in town.plan["people"].items():
        if person["kind"] == "family":
            body = {"id_number": town.plan["people"]["payer"]["number"], "relation": "spouse"}
            assert (await town.citizen(who, "POST", "family", body)).status_code == 202
    for consent in (await town.citizen("payer", "GET", "family")).json()["consents"]:
        assert (await town.citizen("payer", "PUT", f"family/{consent['id']}/agreement")).status_code == 200


async def interrupt(town: Town, life: Life) -> None:
    """Do a life's action on the last day, with its kill, fault or lost hint; no sweep runs after it."""
    database, store = town.port("payment").database, KillingStore(town.city.store)
    city = town.city
    if life["fault"]:
        database.script_outcomes(*life["fault"])
    if life["kill"] is not None:
        store.countdown, store.after = life["kill"] // 2, bool(life["kill"] % 2)
        town.app.state.city = replace(city, store=store)
    try:
        await town.live(life)
        if not life["hint_lost"]:
            await town.run_jobs()
    except Killed:
        pass
    town.queue.jobs.clear()
    town.app.state.city = city
    database.clear_faults()


async def send_early_messages(town: Town) -> None:
    """Let the hospital send charges by HL7 v2 of visits that it opens later; one message is interrupted."""
    system = Hl7System(HOSPITAL)
    for life in town.plan["lives"]:
        if life["kind"] != "early":
            continue
        system.patient = town.plan["people"][life["who"]]["number"]
        charges = (transaction("L1", "66.60"), transaction("L2", "33.03"))
        raw = system.charge_message(life["id"], *charges, control=life["id"]).encode()
        city, store = town.city, KillingStore(town.city.store)
        store.countdown = 1 if life["message_killed"] else None
        try:
            replies = [reply async for reply in receive_message(replace(city, store=store), raw, Peer("test", None))]
            assert b"|AA|" in replies[-1], replies
        except Killed:
            pass
        town.queue.jobs.clear()


async def approve_repairs(town: Town) -> Json:
    """Approve repairs of a day of the hospital, and be interrupted before they are applied."""
    day = (HANDOVER - timedelta(days=2)).date()
    path = f"/v1/reconciliations/{HOSPITAL}/{day}"
    rows = (await town.officer("GET", f"{path}/file", None)).text.splitlines()
    resting = tuple(life["id"] for life in town.plan["lives"] if life["kind"] == "reconciled")
    settled = [row.split(",") for row in rows if ",settlement," in row and row.startswith(resting)]
    assert len(settled) == REPAIRS, settled
    charges = [row.split(",") for row in rows if ",charge," in row]
    for number, (visit, *_) in enumerate(settled):
        line = next(row[2] for row in charges if row[0] == visit)
        if number % 2:
            rows.append(f"{visit},credit,X1,{line},,-3.33,,,")
        else:
            rows.append(f"{visit},charge,X1,,110100001,7.77,,,")
    found = (await town.officer("PUT", path, {"file": "\n".join(rows) + "\n"})).json()
    differences = [one["difference"] for one in found["differences"]]
    ids = [one["id"] for one in differences if one["repair"] != "contact_hospital"]
    assert ids, found
    body = {"differences": ids}
    answer = await town.officer("POST", f"{path}/acceptances", body)
    assert answer.status_code == 200, answer.text
    city, store = town.city, KillingStore(town.city.store)
    store.countdown, store.after = 0, True
    town.app.state.city = replace(city, store=store)
    with suppress(Killed):
        await town.officer("POST", f"{path}/approvals", body, "approver")
    town.app.state.city = city
    return [f"{one['kind']} {one['repair']}" for one in differences]


_INDEX_OPTIONS = ("unique", "partialFilterExpression", "sparse")


def dumped(value: Any) -> Json:  # noqa: ANN401  any part of a document
    if isinstance(value, datetime):
        return {"$at": value.isoformat()}
    if isinstance(value, dict):
        return {name: dumped(part) for name, part in value.items()}
    return [dumped(part) for part in value] if isinstance(value, list | tuple) else value


async def make(settings: Settings, plan: Json, patch: pytest.MonkeyPatch) -> Json:
    """Let the city live until the handover, and return what was found at the end of the last day."""
    clock = Clock(HANDOVER - timedelta(days=DAYS_BEFORE))
    patch.setattr("backend.paylater.credit_account.MAX_HOLDS", 2)  # so that the holds of regular patients are archived
    store = open_store(settings.store, documents_of(discover_services()))
    await migrate(store, find_migrations(), lambda *_: None)
    await store.close()
    async with open_town(settings, clock, plan) as town:
        await fill(town)
        for _ in range(DAYS_BEFORE):
            await town.pass_day()
        assert clock.now == HANDOVER, clock.now
        repairs = await approve_repairs(town)
        await send_early_messages(town)
        for life in plan["lives"]:
            await interrupt(town, life)
    return repairs


async def bodies_of(settings: Settings) -> list[Json]:
    kinds = documents_of(discover_services())
    store = open_store(settings.store, kinds)
    lines = [
        {"collection": collection, "body": dumped(body)}
        for collection in sorted({kind.collection for kind in kinds})
        for body in await store.read_bodies(collection, "", 100_000)
    ]
    await store.close()
    return lines


def write(folder: Path, settings: Settings, plan: Json) -> None:
    """Write the documents, tables, indexes, keys, sandboxes and plan as text."""
    lines = asyncio.run(bodies_of(settings))
    text = "\n".join(compact(line) for line in lines)
    (folder / "city.jsonl").write_text(text + "\n", encoding="utf-8")
    with sqlite3.connect(settings.store.removeprefix("sqlite:///")) as file:
        schema = [
            sql
            for (sql,) in file.execute(
                "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'"
            )
        ]
    (folder / "schema.sql").write_text(";\n".join(schema) + ";\n", encoding="utf-8")
    with sqlite3.connect(settings.sandbox) as file:
        file.execute("DELETE FROM calls")  # the log of the insurance's interface, which nothing reads
        (folder / "sandbox.sql").write_text("\n".join(file.iterdump()) + "\n", encoding="utf-8")
    keys = {path.name: path.read_text(encoding="utf-8") for path in sorted(Path(settings.keys).iterdir())}
    (folder / "keys.json").write_text(json.dumps(keys, indent=1) + "\n", encoding="utf-8")
    (folder / "plan.json").write_text(as_lines(plan), encoding="utf-8")
    with mongod() as url:
        prepare_store(
            f"{url.partition('?')[0].rstrip('/')}/made?{url.partition('?')[2]}", documents_of(discover_services())
        )
        with MongoClient[Json](url) as client:
            database = client["made"]
            indexes = {
                name: [
                    {
                        "keys": index["key"],
                        "options": {"name": key} | {one: index[one] for one in _INDEX_OPTIONS if one in index},
                    }
                    for key, index in sorted(database[name].index_information().items())
                    if key != "_id_"
                ]
                for name in sorted(database.list_collection_names(filter={"name": {"$not": {"$regex": "^system"}}}))
            }
    (folder / "indexes.json").write_text(as_lines(indexes), encoding="utf-8")


def as_lines(value: Json) -> str:
    """Return JSON with a line for each member of the outer two levels."""
    sections: list[str] = []
    for name, part in value.items():
        if isinstance(part, list):
            inner = ",\n".join(map(compact, part))
            sections.append(f"{json.dumps(name)}: [\n{inner}\n]")
        else:
            inner = ",\n".join(f"{json.dumps(key)}: {compact(item)}" for key, item in part.items())
            sections.append(f"{json.dumps(name)}: {{\n{inner}\n}}")
    return "{" + ",\n".join(sections) + "}\n"


def compact(value: Json) -> str:
    """Return JSON without spaces."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


async def carry_on(settings: Settings, plan: Json) -> Json:
    async with open_town(settings, Clock(HANDOVER), plan) as town:
        await town.pass_half_a_year()
        return await read_figures(town)


def main(name: str) -> None:
    """Make the city, and let it complete what is open."""
    folder = Path(__file__).parent / name
    folder.mkdir(exist_ok=True)
    plan = plan_of(list(lives()))
    with tempfile.TemporaryDirectory() as place:
        settings = settings_of(Path(place), f"sqlite:///{place}/city.db")
        with pytest.MonkeyPatch.context() as patch:
            print("repairs", Counter(asyncio.run(make(settings, plan, patch))))  # noqa: T201
        write(folder, settings, plan)
        later = Path(place) / "later"
        later.mkdir()
        shutil.copy(Path(place) / "city.db", later)
        shutil.copy(Path(place) / "sandbox.db", later)
        shutil.copytree(settings.keys, later / "keys")
        settings = settings_of(later, f"sqlite:///{later}/city.db")
        expected = asyncio.run(carry_on(settings, copy.deepcopy(plan)))
    (folder / "expected.json").write_text(as_lines(expected), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
