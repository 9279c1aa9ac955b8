"""Policies before an import and after an export, decided by Google's CEL: the same as our modules."""

from datetime import timedelta
from random import Random
from typing import Any

import msgspec
from cel_expr_python import cel
from ruamel.yaml import YAML

from backend.rulebook import SourceFile
from backend.rulebook.exchange.cel_policy_reader import read_cel_policy
from backend.rulebook.exchange.cel_policy_writer import write_cel_policy
from tests.rulebook.cel_oracle import cel_literal
from tests.rulebook.exchange.test_cel_policy import CONFIG, POLICY
from tests.rulebook.exchange.test_export import DAY, NAME, PLAIN, facts_of, module_text, random_given, rulebook_of

Json = Any


def composed(rule: Json, without_match: str = '"none"') -> str:
    """Return a rule of a policy as one expression of CEL, as the format's guide defines it."""
    result = without_match
    for match in reversed(rule["match"]):
        condition = match.get("condition", "true")
        if "rule" not in match:
            chosen = str(match["output"])
        else:
            chosen = composed(match["rule"], result if condition == "true" else '"none"')
        result = f"(({condition}) ? ({chosen}) : ({result}))"
    variables = {held["name"]: held["expression"] for held in rule.get("variables", ())}
    if variables:
        held = ", ".join(f'"{name}": ({expression})' for name, expression in variables.items())
        result = f"[{{{held}}}].map(variables, {result})[0]"
    return result


def decided_by_google(policy: str, name: str, facts: str) -> Json:
    """Return the decision of a policy's text, with a map of facts under one name."""
    rule: Json = YAML(typ="safe").load(policy)["rule"]  # pyright: ignore[reportUnknownMemberType]  untyped library
    environment = cel.NewEnv(variables={"now": cel.Type.TIMESTAMP})
    program = environment.compile(f"[dyn({facts})].map({name}, {composed(rule)})[0]")
    return program.eval(data={"now": DAY}).plain_value()


def test_googles_cel_decides_on_an_exported_policy_as_our_module_does() -> None:
    rulebook, file = rulebook_of(module_text(PLAIN, "most_severe"))
    written = write_cel_policy(rulebook.modules[NAME], rulebook.law(NAME, DAY), file)
    assert written is not None, file.faults
    random, results = Random(21), set[str]()
    for _ in range(40):
        facts = facts_of(rulebook, NAME, random_given(random, optional=False))
        result = rulebook.evaluate(NAME, facts, DAY).result
        results.add(result)
        assert decided_by_google(written[0], "facts", cel_literal(facts)) == result
    assert results == {"none", "half", "free"}


def test_our_module_decides_as_googles_cel_on_the_imported_policy() -> None:
    policy, config = SourceFile("policy.yaml", POLICY, []), SourceFile("config.yaml", CONFIG, [])
    made = read_cel_policy(policy, config, DAY.date() - timedelta(days=9))
    assert made is not None, policy.faults
    rulebook = rulebook_of(made.text(), made.name)[0]
    random, results = Random(22), set[str]()
    for _ in range(60):
        at = DAY - timedelta(minutes=random.choice([30, 59, 60, 61]))
        minutes, kind = random.choice([19, 20, 60, 91]), random.choice(["day", "week", "night"])
        given = {"trip_minutes": minutes, "trip_kind": kind, "trip_at": at.isoformat()}
        facts = msgspec.convert(given, rulebook.modules[made.name].facts)
        literal = f'{{"minutes": {minutes}, "kind": "{kind}", "at": {cel_literal(at)}}}'
        result = rulebook.evaluate(made.name, facts, DAY).result
        results.add(result)
        assert decided_by_google(POLICY, "trip", literal) == result, given
    assert results == {"full", "half", "none", "nothing"}
