"""Import of CertLogic: the same decision on all data, or a refusal at its place."""

import json
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest

from backend.rulebook import InvalidRulebook, Rulebook, SourceFile
from backend.rulebook.exchange.certificate import facts_from, instant_of, value_at
from backend.rulebook.exchange.certlogic_reader import read_certlogic
from tests.rulebook.exchange import certlogic_oracle
from tests.rulebook.exchange.rules import COURSE, ONE_EVENT, RECENT_DOSE, VALUE_SETS, faults_of, imported, rule_text

Json = Any

CLOCK = "2021-12-01T10:00:00Z"
DOSES: dict[str, Json] = {
    "none": {},
    "13 days ago": {"v": [{"dt": "2021-11-18"}]},
    "14 days ago": {"v": [{"dt": "2021-11-17"}]},
    "of last year": {"v": [{"dt": "2021-01-01"}]},
    "without a day": {"v": [{"mp": "EU/1/20/1528"}]},
}


def decide(logic: Json, payload: Json, clock: str = CLOCK, *, strict: bool = True) -> str:
    rulebook, name = imported(rule_text(logic), strict=strict)
    data = {"payload": payload, "external": {"validationClock": clock, "valueSets": VALUE_SETS}}
    return rulebook.evaluate(name, facts_from(rulebook.modules[name].facts, data), instant_of(clock)).result


@pytest.mark.parametrize("dose", DOSES)
def test_an_imported_rule_accepts_what_certlogic_accepts(dose: str) -> None:
    data = {"payload": DOSES[dose], "external": {"validationClock": CLOCK}}
    expected = "accepted" if certlogic_oracle.passes(RECENT_DOSE, data) else "refused"
    assert decide(RECENT_DOSE, DOSES[dose]) == expected


@pytest.mark.parametrize(
    ("payload", "result"),
    [({}, "refused"), ({"t": [{"tt": "a"}]}, "accepted"), ({"t": [{"tt": "a"}], "v": [{"dn": 1}]}, "refused")],
    ids=["nothing", "one event", "two events"],
)
def test_a_reduction_over_a_written_list_is_unfolded(payload: Json, result: str) -> None:
    assert decide(ONE_EVENT, payload) == result


@pytest.mark.parametrize(
    ("dose", "result"),
    [
        ({"mp": "EU/1/20/1528", "dn": 2, "sd": 2}, "accepted"),
        ({"mp": "EU/1/20/1528", "dn": 1, "sd": 2}, "refused"),
        ({"mp": "elsewhere", "dn": 2, "sd": 2}, "refused"),
        ({"mp": "EU/1/20/1528", "dn": 2}, "refused"),
    ],
    ids=["complete", "incomplete", "another vaccine", "a missing number"],
)
def test_a_value_set_becomes_a_parameter(dose: Json, result: str) -> None:
    assert decide(COURSE, {"v": [dose]}) == result


@pytest.mark.parametrize(
    ("clock", "result"),
    [
        ("2021-06-30T23:59:59Z", "not-in-force"),
        ("2021-07-01T00:00:00Z", "accepted"),
        ("2022-07-01T00:00:00Z", "accepted"),
        ("2022-07-01T00:00:00.001Z", "not-in-force"),
    ],
)
def test_a_rule_is_in_force_from_its_first_to_its_last_instant(clock: str, result: str) -> None:
    assert decide(RECENT_DOSE, {}, clock) == result


def test_an_imported_rule_says_when_its_answer_changes() -> None:
    rulebook, name = imported(rule_text(RECENT_DOSE))
    data: Json = {"payload": DOSES["13 days ago"], "external": {}}
    facts = facts_from(rulebook.modules[name].facts, data)
    verdict = rulebook.evaluate(name, facts, datetime(2021, 12, 1, 10, tzinfo=UTC))
    assert verdict.changes_at == datetime(2021, 12, 2, tzinfo=UTC)


VAR = {"var": "payload.v.0.dt"}
REFUSALS: dict[str, tuple[Json, str, str]] = {
    "a year before now": (
        {"after": [{"plusTime": [VAR, 0, "day"]}, {"plusTime": [{"var": "external.validationClock"}, -18, "year"]}]},
        "R122",
        '"plusTime": [',
    ),
    "an unknown operation": ({"or": [VAR, True]}, "R120", '"or"'),
    "too many operands": ({"if": [VAR, True, True, True]}, "R120", '"if"'),
    "a decimal": ({"===": [{"var": "payload.v.0.dn"}, 1.5]}, "R120", "1.5"),
    "a list of unknown length": (
        {"===": [{"reduce": [{"var": "payload.v"}, {"+": [{"var": "accumulator"}, 1]}, 0]}, 1]},
        "R121",
        '"reduce"',
    ),
    "a list that is not given": (
        {"in": [{"var": "payload.v.0.mp"}, {"var": "external.valueSets.tests"}]},
        "R123",
        '"external.valueSets.tests"',
    ),
    "a text that is also a date": (
        {"and": [{"===": [VAR, "x"]}, {"after": [{"plusTime": [VAR, 0, "day"]}, {"plusTime": [VAR, 1, "day"]}]}]},
        "R124",
        '"payload.v.0.dt"',
    ),
    "a part of an identifier": ({"===": [{"extractFromUVCI": [VAR, 1]}, "x"]}, "R121", '"==="'),
    "a path that is no path": ({"var": "payload.v, from: person}"}, "R120", '"var"'),
    "more than a century": (
        {"after": [{"plusTime": [VAR, 99999, "day"]}, {"plusTime": [VAR, 0, "day"]}]},
        "R121",
        "99999",
    ),
    "an unfolding without end": (
        {"===": [{"reduce": [[1] * 40, {"+": [{"var": "accumulator"}, {"var": "accumulator"}]}, 1]}, 1]},
        "R121",
        '"+"',
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_cannot_be_expressed_is_refused_at_its_place(name: str) -> None:
    logic, code, shown = REFUSALS[name]
    text = rule_text(logic)
    (fault,) = faults_of(text)
    assert fault.code == code
    at = text.split("\n")[fault.location.line - 1][fault.location.column - 1 :]
    assert at.startswith(shown)
    assert fault.message.zh != fault.message.en


def test_tabs_and_chinese_descriptions_are_read() -> None:
    described = [{"lang": "zh", "desc": "接种满14天，证书有效"}]
    text = rule_text(RECENT_DOSE, Description=described)
    rulebook, name = imported(json.dumps(json.loads(text), indent="\t", ensure_ascii=False))
    assert name in rulebook.modules


def test_a_rule_may_be_in_force_from_the_first_day_that_rules_know() -> None:
    rulebook, name = imported(rule_text(RECENT_DOSE, ValidFrom="1900-01-01T00:00:00Z"))
    assert rulebook.evaluate(name, facts_from(rulebook.modules[name].facts, {}), instant_of(CLOCK)).result == "accepted"


def test_an_identifier_adds_no_lines_to_the_module() -> None:
    rulebook, name = imported(rule_text(RECENT_DOSE, Identifier="A\nstrategy: sum\n{x}"))
    assert name == "certlogic.a_strategy_sum_x"
    assert rulebook.modules[name].strategy == "first"


def test_nothing_is_in_an_empty_value_set() -> None:
    logic = {
        "if": [{"var": "payload.v.0"}, {"in": [{"var": "payload.v.0.mp"}, {"var": "external.valueSets.none"}]}, True]
    }
    file = SourceFile("rule.json", rule_text(logic), [])
    made = read_certlogic(file, {"none": []})
    assert made is not None
    assert "!facts.v_0" in made.rules[0].when
    assert not made.lists


def test_a_file_that_is_not_json_is_refused_at_its_place() -> None:
    (fault,) = faults_of(rule_text(True).replace('"Version"', ', "Version"', 1))
    assert (fault.code, fault.location.line) == ("R120", 3)


@pytest.mark.parametrize(
    "payload",
    [{"v": [{"dt": "yesterday"}]}, {"v": [{"dt": "2021-02-30"}]}, {"v": [{"dt": "1801-01-01"}]}, {"v": [{"dt": 3}]}],
    ids=["a word", "no such day", "too early", "a number"],
)
def test_a_certificate_with_an_invalid_day_has_no_facts(payload: Json) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  whatever the date's parser says
        decide(RECENT_DOSE, payload)


# ── any expression on any data ──

PATHS = {"number": ("payload.v.0.dn", "payload.v.0.sd"), "text": ("payload.v.0.mp", "payload.t.0.tt")}
DAYS = ("payload.v.0.dt", "payload.t.0.sc", "external.validationClock")


def random_logic(random: Random, depth: int) -> Json:
    """Return a random expression whose value is a truth value or is held to be one."""
    choices = ["var", "compare", "dates", "equal", "in"]
    kind = random.choice(choices if depth == 0 else [*choices, "if", "if", "and", "!", "sum"])
    inner = [random_logic(random, depth - 1) for _ in range(3)] if depth else []
    number = {"var": random.choice(PATHS["number"])}
    text = {"var": random.choice(PATHS["text"])}
    match kind:
        case "var":
            path = random.choice([*PATHS["number"], *PATHS["text"], *DAYS[:2], "payload.v.0", "payload.t"])
            return {"var": path}
        case "compare":
            others = random.sample([random.randint(0, 3), {"var": random.choice(PATHS["number"])}, 1], 2)
            return {random.choice(["<", "<=", ">", ">="]): [number, *others[: random.randint(1, 2)]]}
        case "dates":
            name = random.choice(["before", "after", "not-before", "not-after"])
            count = random.randint(2, 3)
            spans = [[{"var": random.choice(DAYS)}, random.randint(-40, 40), "day"] for _ in range(count)]
            first: Json = {"plusTime": spans[0]}
            if inner:
                first = {"if": [inner[0], first, {"plusTime": [{"var": DAYS[0]}, 9, "hour"]}]}
            return {name: [first, *({"plusTime": span} for span in spans[1:])]}
        case "equal":
            one, other = random.choice([(number, 2), (text, "b"), (number, {"var": PATHS["number"][1]}), ("b", text)])
            return {"===": [one, other]}
        case "in":
            return {
                "in": random.choice(
                    [[number, [1, 2]], [text, ["a", "b"]], [text, {"var": "external.valueSets.vaccines"}]]
                )
            }
        case "sum":
            counted = {"+": [{"if": [{"var": "payload.v.0"}, 1, 0]}, random.randint(-1, 1)]}
            return {"if": [{">": [{"+": [number, counted]}, 1]}, inner[0], inner[1]]}
        case "if":
            return {"if": inner}
        case "and":
            return {"and": inner[: random.randint(2, 3)]}
        case _:
            return {"!": inner[:1]}


def random_data(random: Random) -> Json:
    """Return the data of a random certificate, of which anything may be missing."""

    def some(value: Json) -> Json:
        return random.choice([value, value, value, None])

    def day() -> str:
        return f"2021-{random.choice([10, 11, 12]):02}-{random.randint(1, 28):02}"

    dose = {"dn": some(random.randint(0, 3)), "sd": some(random.randint(0, 3)), "dt": some(day())}
    test = {"tt": some(random.choice(["a", "b", ""])), "sc": some(f"{day()}T08:00:00+02:00")}
    dose["mp"] = some(random.choice(["a", "EU/1/20/1528"]))
    payload: dict[str, Json] = {}
    if random.random() < 0.8:
        payload["v"] = [{key: value for key, value in dose.items() if value is not None}]
    if random.random() < 0.8:
        payload["t"] = [{key: value for key, value in test.items() if value is not None}]
    return {"payload": payload, "external": {"validationClock": f"{day()}T12:00:00Z", "valueSets": VALUE_SETS}}


def imported_or_never_fires(logic: Json) -> tuple[Rulebook, str] | None:
    """Return the imported rule, or None if it is refused because nobody can pass it."""
    try:
        return imported(rule_text(logic), strict=False)
    except InvalidRulebook as error:
        if [fault.code for fault in error.faults] != ["R070"]:
            raise
        return None


def test_random_rules_decide_as_certlogic_does_on_random_certificates() -> None:
    random = Random(19)
    decided = {"accepted": 0, "refused": 0}
    for _ in range(60):
        logic = {"and": [{"if": [{"var": "payload.v.0"}, True, True]}, random_logic(random, 3)]}
        certificates = [random_data(random) for _ in range(30)]
        expected = ["accepted" if certlogic_oracle.passes(logic, data) else "refused" for data in certificates]
        if (found := imported_or_never_fires(logic)) is None:
            assert set(expected) == {"refused"}, f"the module says that nobody passes {json.dumps(logic)}"
            continue
        rulebook, name = found
        for data, result in zip(certificates, expected, strict=True):
            facts = facts_from(rulebook.modules[name].facts, data)
            at = instant_of(value_at(data, "external.validationClock"))
            assert rulebook.evaluate(name, facts, at).result == result, json.dumps([logic, data])
            decided[result] += 1
    assert min(decided.values()) > 200, decided  # both answers are common
