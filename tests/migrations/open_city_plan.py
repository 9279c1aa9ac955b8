"""The plan of a city with open processes: scripts that interrupt visits and claims at every kind of step."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from tests.migrations.old_city import Json
from tests.services.health_code.scene import id_number
from tests.services.talent_code.world import card_number

Script = dict[str, Any]

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
"""The encounter class and the actions of each kind of visit."""

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
"""The writes of an action at which the process is killed: before it (even) or after it (odd)."""

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
"""These actions are interrupted in every way, all others in some ways only."""


def scripts() -> Iterator[Script]:
    """Yield the scripts of the plan; on the day of the handover each has reached a different action."""
    for kind, (class_, actions) in VISITS.items():
        yield from scripts_of_kind(f"{kind}", actions, {"class": class_, "visit": True})
    for kind, actions in CLAIMS.items():
        yield from scripts_of_kind(f"claim {kind}", actions, {"visit": False})


def scripts_of_kind(kind: str, actions: list[str], fields: Json) -> Iterator[Script]:
    serial = itertools.count(1)

    def script(age: int, **how: Any) -> Script:  # noqa: ANN401  kill, fault or hint
        name = f"{kind.replace(' ', '-').replace('_', '-').upper()}-{next(serial)}"
        common = {"kind": kind, "next": 0, "waited": 0, "interrupted": False, "answers": [], "amounts": {}}
        how = {"kill": None, "fault": None, "hint_lost": False} | how
        return {"id": name, "actions": actions, "start": -age, "by_parts": kind == "urgent"} | common | fields | how

    if kind == "early":
        yield from (script(-day, message_killed=killed) for day in (1, 2) for killed in (False, True))
        return
    if kind == "reconciled":
        yield from (script(4) for _ in range(REPAIRS))
        return
    if kind == "regular":
        yield from (script(age) for age in (33, 30, 20, 11, 5, 1))
        return
    age = 0
    for number, action in enumerate(actions):
        name, _, detail = action.partition(":")
        if name == "wait":
            days = int(detail)
            yield from (
                script(age + passed)
                for passed in sorted({1, days // 2, days - 1} if days > 5 else {1})
                if passed < days
            )
            age += days
            continue
        every = (kind, name) in THOROUGH
        kills, faults = KILLS.get(name, ()), FAULTS.get(name, ())
        chosen = sum(map(ord, kind)) + number
        for place, kill in enumerate(kills):
            if every or place == chosen % len(kills):
                yield script(age, kill=kill)
        for place, fault in enumerate(faults):
            if every or place == chosen % len(faults):
                yield script(age, fault=fault)
        if name in ("open", "close", "claim") and every:
            yield script(age, hint_lost=True)
        age += 1


def make_plan(found: Sequence[Script]) -> Json:
    """Assign a person to each script; pairs of scripts of simple visits share one."""
    people: dict[str, Json] = {}
    for number, script in enumerate(found):
        shared = script["visit"] and script["kind"] in ("plain", "refund", "cancel", "again", "unmade", "reopen")
        who = f"{script['kind']} {number // 2 * 2}" if shared else f"{script['kind']} {number}"
        who = "regular" if script["kind"] == "regular" else who
        script["who"] = who
        people.setdefault(
            who, {"kind": script["kind"], "claims": not script["visit"], "balance_fen": 0 if shared else 999}
        )
    people["payer"] = {"kind": "payer", "claims": False, "balance_fen": 0}
    for serial, person in enumerate(people.values(), 1):
        person |= {"number": id_number(serial, 1986), "card": card_number(serial), "payer": "payer"}
    return {"people": people, "scripts": list(found)}
