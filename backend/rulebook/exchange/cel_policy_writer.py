"""Export to a CEL policy: the rules of one day as matches, with the parameters of that day as variables."""

import json
from datetime import UTC, datetime, timedelta
from typing import cast

from backend.i18n import Text
from backend.rulebook.exchange.refusal import CALENDAR, INEXPRESSIBLE
from backend.rulebook.language import tree
from backend.rulebook.language.calendar import AGE
from backend.rulebook.language.tree import Apply, Variable, walk
from backend.rulebook.language.types import MICROSECOND, Field, fields_of
from backend.rulebook.modules.conditions import Conditions
from backend.rulebook.modules.module import Module, Rule
from backend.rulebook.source import NO_HELP, Location, SourceFile
from backend.rulebook.verdict import Law

_TYPES = {
    "bool": "bool",
    "int": "int",
    "string": "string",
    "double": "double",
    "timestamp": "google.protobuf.Timestamp",
}
_ORDERED = ("first", "unique", "most_severe")


def write_cel_policy(module: Module, law: Law, file: SourceFile) -> tuple[str, str] | None:
    """Return the policy of a law of a module and its config, both YAML.

    A part that a policy cannot express is a fault (R121, R122) of the module's file; then returns None.
    """
    if module.strategy not in _ORDERED:
        message = Text(
            zh=f"策略 {module.strategy} 合并多条规则，CEL 策略只取第一条",
            en=f"the strategy {module.strategy!r} combines rules, and a CEL policy takes the first match only",
        )
        file.fault(Location(1, 1), message, code=INEXPRESSIBLE)
        return None
    parts = (node for rule in law.rules for node in walk(rule.condition))
    read = {node.name for node in parts if isinstance(node, tree.Field | tree.Has)}
    facts = {name: field for name, field in fields_of(module.facts).items() if name in read}
    for rule in law.rules:
        _check(rule, file, facts)
    if file.faults:
        return None
    rules = list(law.rules)
    if module.strategy == "most_severe":
        words = cast("tuple[str, ...]", module.result)
        rules.sort(key=lambda rule: -words.index(str(rule.then)))
    used = {name for rule in rules for name in rule.names()} & law.parameter_values.keys()
    lines = [f"name: {json.dumps(module.name)}", "rule:"]
    if used:
        lines.append("  variables:")
    for name in sorted(str(name) for name in used):
        lines += [f"    - name: {name}", f"      expression: {json.dumps(_literal(law.parameter_values[name]))}"]
    lines.append("  match:")
    for rule in rules:
        lines += [f"    - condition: {json.dumps(_condition(rule, law), ensure_ascii=False)}"]
        lines += [f"      output: {json.dumps(_output(rule.then, law), ensure_ascii=False)}"]
        lines += [f"      explanation: {json.dumps(_literal(rule.because.en))}"]
    lines.append(f"    - output: {json.dumps(_output(law.otherwise.then, law), ensure_ascii=False)}")
    config = [f"name: {json.dumps(module.name)}", "variables:"]
    for name, field in facts.items():
        config += [f"  - name: facts.{name}", f"    type_name: {_TYPES[field.type.kind]}"]
    config += ["  - name: now", "    type_name: google.protobuf.Timestamp"]
    return "\n".join(lines) + "\n", "\n".join(config) + "\n"


def _check(rule: Rule, file: SourceFile, facts: dict[str, Field]) -> None:
    """Add a fault for each part of a condition that a policy cannot have."""
    places = Conditions(file)
    for node in walk(rule.condition):
        if isinstance(node, Apply) and node.name == AGE:
            message = Text(zh="CEL 策略没有 age()", en="a CEL policy has no age()")
            file.fault(places.location(rule, node), message, NO_HELP, CALENDAR)
        if isinstance(node, tree.Field | tree.Has):
            name = node.name
            field = facts.get(name)
            if field is None or field.optional or field.type.kind not in _TYPES:
                message = Text(
                    zh=f"{name} 可能没有值，或是列表或记录，CEL 策略的变量无法表达",
                    en=f"{name} may be absent, or is a list or record, which no variable of a CEL policy is",
                )
                file.fault(places.location(rule, node), message, NO_HELP, INEXPRESSIBLE)
                return


def _condition(rule: Rule, law: Law) -> str:
    text = " ".join(rule.text.splitlines())
    names = {
        (node.start, node.end)
        for node in walk(rule.condition)
        if isinstance(node, Variable) and node.name in law.parameter_values
    }
    for start, end in sorted(names, reverse=True):
        text = f"{text[:start]}variables.{text[start:end].strip('()')}{text[end:]}"
    return text


def _output(then: str | int, law: Law) -> str:
    if isinstance(then, int):
        return str(then)
    return f"variables.{then}" if then in law.parameter_values else _literal(then)


def _literal(value: object) -> str:
    """Return a constant in CEL."""
    match value:
        case bool():
            return "true" if value else "false"
        case datetime():
            return f'timestamp("{value.astimezone(UTC).isoformat().replace("+00:00", "Z")}")'
        case timedelta():
            whole, part = divmod(value // MICROSECOND, 1_000_000)
            return f'duration("{whole}s")' if not part else f'duration("{value // MICROSECOND}us")'
        case tuple():
            return f"[{', '.join(map(_literal, cast('tuple[object, ...]', value)))}]"
        case _:
            return json.dumps(value, ensure_ascii=False)
