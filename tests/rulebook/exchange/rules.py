"""Small rules in CertLogic, in our own words, and how tests import one."""

import json
from collections.abc import Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

from backend.rulebook import Rulebook, SourceFile, make_rulebook
from backend.rulebook.exchange.certlogic_reader import read_certlogic
from backend.rulebook.source import Fault

Json = Any

ZONE = ZoneInfo("Asia/Shanghai")

RECENT_DOSE = {
    "if": [
        {"var": "payload.v.0"},
        {
            "not-after": [
                {"plusTime": [{"var": "payload.v.0.dt"}, 14, "day"]},
                {"plusTime": [{"var": "external.validationClock"}, 0, "day"]},
                {"plusTime": [{"var": "payload.v.0.dt"}, 270, "day"]},
            ]
        },
        True,
    ]
}
ONE_EVENT = {
    "===": [
        {
            "reduce": [
                [{"var": "payload.r"}, {"var": "payload.t"}, {"var": "payload.v"}],
                {"+": [{"var": "accumulator"}, {"if": [{"var": "current.0"}, 1, 0]}]},
                0,
            ]
        },
        1,
    ]
}
COURSE = {
    "and": [
        {"in": [{"var": "payload.v.0.mp"}, {"var": "external.valueSets.vaccines"}]},
        {">=": [{"var": "payload.v.0.dn"}, {"var": "payload.v.0.sd"}]},
    ]
}
VALUE_SETS = {"vaccines": ["EU/1/20/1528", "EU/1/20/1507"]}


def rule_text(logic: Json, **keys: Json) -> str:
    """Return a rule as its file has it."""
    rule = {
        "Identifier": "VR-ZZ-0001",
        "Version": "1.0.0",
        "Engine": "CERTLOGIC",
        "Description": [{"lang": "en", "desc": "The last dose’s day"}],
        "ValidFrom": "2021-07-01T00:00:00Z",
        "ValidTo": "2022-07-01T00:00:00Z",
        "Logic": logic,
    }
    return json.dumps({**rule, **keys}, indent=2)


def faults_of(text: str, value_sets: Mapping[str, Sequence[str]] = VALUE_SETS) -> list[Fault]:
    """Return the faults of the import of a rule's file."""
    file = SourceFile("rule.json", text, [])
    assert read_certlogic(file, value_sets) is None
    return file.faults


def imported(text: str, *, strict: bool = True) -> tuple[Rulebook, str]:
    """Return the rulebook with an imported rule, and the name of its module."""
    file = SourceFile("rule.json", text, [])
    made = read_certlogic(file, VALUE_SETS)
    assert made is not None, "\n".join(map(str, file.faults))
    module = SourceFile(f"{made.name}.yaml", made.text(), [])
    return make_rulebook({made.name: module}, [], ZONE, strict=strict), made.name
