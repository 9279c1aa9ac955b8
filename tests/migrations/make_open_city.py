"""Make `city_of_<commit>/`: a city with open processes, and the result of completing them with the same code.

Run it in a checkout of the commit: `python -m tests.migrations.make_open_city city_of_<commit>`. The ids of people and
receipts are random, so another run gives another city. The plan runs for `DAYS_BEFORE` days. On the last day many
requests are interrupted: the process is killed before or after one of its writes, the message of a job is lost, or the
insurance or a bank fails. Then the documents, the records of the sandboxes and the plan are written as text. The same
code continues the plan on a copy and writes the resulting figures to `expected.json`.
"""

import asyncio
import copy
import json
import shutil
import sqlite3
import sys
import tempfile
from collections import Counter
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
from backend.city.person import Person, find_or_create_person
from backend.city.service import discover_services
from backend.services.medical_credit.model.hospital import Hospital
from backend.services.talent_code.ports import TaxYear
from backend.settings import Settings
from backend.store.connect import open_store, prepare_store
from backend.store.migrations import find_migrations, migrate
from backend.store.place import Place
from integrations.his.hl7v2.message_receiver import receive_message
from integrations.his.hl7v2.mllp_listener import Peer
from tests.conftest import Clock
from tests.integrations.his.hospital import Hl7System, transaction
from tests.migrations.figures import read_figures
from tests.migrations.old_city import Json
from tests.migrations.open_city import DAYS_BEFORE, HANDOVER, HOSPITAL, CitySimulation, open_simulation, settings_of
from tests.migrations.open_city_plan import REPAIRS, Script, make_plan, scripts
from tests.mongod import mongod
from tests.services.killing import Killed, KillingStore
from tests.services.medical_credit.scene import FACTS
from tests.services.talent_code.world import DOCTOR, LEADER


async def fill(simulation: CitySimulation) -> None:
    """Register the people with the registries, enrol them, and connect the hospital."""
    store = simulation.city.store
    await store.insert(Hospital(id=HOSPITAL, name="市第一医院", since_ms=0, jwks={"keys": []}))
    for who, person in simulation.plan["people"].items():
        number = person["number"]
        known = parse_id_number(number, simulation.city.today())
        found = await find_or_create_person(store, simulation.city.encryption, known, simulation.clock.now)
        name = simulation.city.encryption.encrypt("张三", Place.of(Person, found.id, "name"))
        person["citizen"] = (await store.replace(msgspec.structs.replace(found, name=name))).id
        if person["claims"]:
            merits = (LEADER,) if person["kind"] in ("claim demoted", "claim contested") else ()
            simulation.port("education").set_degrees(number, DOCTOR)
            simulation.port("employment").set_merits(number, *merits)
            simulation.port("property_register").set_homes(number, 0)
            simulation.port("social_insurance").set_months(number, 0)
            for year in (2025, 2026):
                simulation.port("tax").set_year(number, TaxYear(year, 0, 0))
            for qualification in (DOCTOR, *merits):
                body = {"qualification": msgspec.to_builtins(qualification)}
                answer = await simulation.citizen(who, "POST", "talent/evidence", body)
                assert answer.status_code == 201, answer.text
            answer = await simulation.citizen(who, "PUT", "talent/account", {"number": person["card"]})
            assert answer.status_code == 200, answer.text
        else:
            simulation.port("insurance").set_balance(number, person["balance_fen"])
            simulation.port("credit_registry").set_facts(number, FACTS)
            debit = person["kind"] in ("debit", "poor_debit")
            body = {"agreement": "2026-01", "i_agree": True, "automatic_debit": debit}
            answer = await simulation.citizen(who, "POST", "medical-credit", body)
            assert answer.status_code == 201, answer.text
    for who, person in simulation.plan["people"].items():
        if person["kind"] == "family":
            body = {"id_number": simulation.plan["people"]["payer"]["number"], "relation": "spouse"}
            assert (await simulation.citizen(who, "POST", "family", body)).status_code == 202
    for consent in (await simulation.citizen("payer", "GET", "family")).json()["consents"]:
        assert (await simulation.citizen("payer", "PUT", f"family/{consent['id']}/agreement")).status_code == 200


async def interrupt(simulation: CitySimulation, script: Script) -> None:
    """Run a script's action of the last day with its kill, fault or lost hint; no sweep follows."""
    database, store = simulation.port("payment").database, KillingStore(simulation.city.store)
    city = simulation.city
    if script["fault"]:
        database.script_outcomes(*script["fault"])
    if script["kill"] is not None:
        store.countdown, store.after = script["kill"] // 2, bool(script["kill"] % 2)
        simulation.app.state.city = replace(city, store=store)
    try:
        await simulation.run_next_action(script)
        if not script["hint_lost"]:
            await simulation.run_jobs()
    except Killed:
        pass
    simulation.queue.jobs.clear()
    simulation.app.state.city = city
    database.clear_faults()


async def send_early_messages(simulation: CitySimulation) -> None:
    """Send charges of visits that are opened later, by HL7 v2; one message is interrupted."""
    system = Hl7System(HOSPITAL)
    for script in simulation.plan["scripts"]:
        if script["kind"] != "early":
            continue
        system.patient = simulation.plan["people"][script["who"]]["number"]
        charges = (transaction("L1", "66.60"), transaction("L2", "33.03"))
        raw = system.charge_message(script["id"], *charges, control=script["id"]).encode()
        city, store = simulation.city, KillingStore(simulation.city.store)
        store.countdown = 1 if script["message_killed"] else None
        try:
            replies = [reply async for reply in receive_message(replace(city, store=store), raw, Peer("test", None))]
            assert b"|AA|" in replies[-1], replies
        except Killed:
            pass
        simulation.queue.jobs.clear()


async def approve_repairs(simulation: CitySimulation) -> Json:
    """Approve repairs of one day of the hospital; the process is killed before they are applied."""
    day = (HANDOVER - timedelta(days=2)).date()
    path = f"/v1/reconciliations/{HOSPITAL}/{day}"
    rows = (await simulation.officer("GET", f"{path}/file", None)).text.splitlines()
    ids = tuple(script["id"] for script in simulation.plan["scripts"] if script["kind"] == "reconciled")
    settled = [row.split(",") for row in rows if ",settlement," in row and row.startswith(ids)]
    assert len(settled) == REPAIRS, settled
    charges = [row.split(",") for row in rows if ",charge," in row]
    for number, (visit, *_) in enumerate(settled):
        line = next(row[2] for row in charges if row[0] == visit)
        if number % 2:
            rows.append(f"{visit},credit,X1,{line},,-3.33,,,")
        else:
            rows.append(f"{visit},charge,X1,,110100001,7.77,,,")
    found = (await simulation.officer("PUT", path, {"file": "\n".join(rows) + "\n"})).json()
    differences = [one["difference"] for one in found["differences"]]
    ids = [one["id"] for one in differences if one["repair"] != "contact_hospital"]
    assert ids, found
    body = {"differences": ids}
    answer = await simulation.officer("POST", f"{path}/acceptances", body)
    assert answer.status_code == 200, answer.text
    city, store = simulation.city, KillingStore(simulation.city.store)
    store.countdown, store.after = 0, True
    simulation.app.state.city = replace(city, store=store)
    with suppress(Killed):
        await simulation.officer("POST", f"{path}/approvals", body, "approver")
    simulation.app.state.city = city
    return [f"{one['kind']} {one['repair']}" for one in differences]


_INDEX_OPTIONS = ("unique", "partialFilterExpression", "sparse")


def dumped(value: Any) -> Json:  # noqa: ANN401  any part of a document
    if isinstance(value, datetime):
        return {"$at": value.isoformat()}
    if isinstance(value, dict):
        return {name: dumped(part) for name, part in value.items()}
    return [dumped(part) for part in value] if isinstance(value, list | tuple) else value


async def make(settings: Settings, plan: Json, patch: pytest.MonkeyPatch) -> Json:
    """Run the city until the handover, and return the differences that were found on the last day."""
    clock = Clock(HANDOVER - timedelta(days=DAYS_BEFORE))
    patch.setattr("backend.paylater.credit_account.MAX_HOLDS", 2)  # so that the holds of regular patients are archived
    store = open_store(settings.store, documents_of(discover_services()))
    await migrate(store, find_migrations(), lambda *_: None)
    await store.close()
    async with open_simulation(settings, clock, plan) as simulation:
        await fill(simulation)
        for _ in range(DAYS_BEFORE):
            await simulation.pass_day()
        assert clock.now == HANDOVER, clock.now
        repairs = await approve_repairs(simulation)
        await send_early_messages(simulation)
        for script in plan["scripts"]:
            await interrupt(simulation, script)
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
        file.execute("DELETE FROM calls")  # the log of calls, which nothing reads
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


async def complete(settings: Settings, plan: Json) -> Json:
    async with open_simulation(settings, Clock(HANDOVER), plan) as simulation:
        await simulation.pass_half_a_year()
        return await read_figures(simulation)


def main(name: str) -> None:
    """Make the city, and complete its open processes with the code of this commit."""
    folder = Path(__file__).parent / name
    folder.mkdir(exist_ok=True)
    plan = make_plan(list(scripts()))
    with tempfile.TemporaryDirectory() as folder_name:
        settings = settings_of(Path(folder_name), f"sqlite:///{folder_name}/city.db")
        with pytest.MonkeyPatch.context() as patch:
            print("repairs", Counter(asyncio.run(make(settings, plan, patch))))  # noqa: T201
        write(folder, settings, plan)
        later = Path(folder_name) / "later"
        later.mkdir()
        shutil.copy(Path(folder_name) / "city.db", later)
        shutil.copy(Path(folder_name) / "sandbox.db", later)
        shutil.copytree(settings.keys, later / "keys")
        settings = settings_of(later, f"sqlite:///{later}/city.db")
        expected = asyncio.run(complete(settings, copy.deepcopy(plan)))
    (folder / "expected.json").write_text(as_lines(expected), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
