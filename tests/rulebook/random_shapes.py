"""Random facts for rule modules: Structs of every kind of field, and the same as a module declares them in YAML."""

from datetime import datetime, timedelta
from random import Random
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

NAMES = {
    "bool": ("member", "is", "class"),
    "int": ("count", "points", "from"),
    "money": ("income_fen", "owed_fen"),
    "words": ("kind", "status", "e1"),
    "text": ("town", "name"),
    "double": ("share", "weight"),
    "instant": ("born_at", "since", "ended_at"),
    "duration": ("waited", "lasted"),
    "record": ("home", "work"),
    "records": ("stays", "tests", "visits"),
    "numbers": ("marks",),
    "texts": ("tags",),
    "instants": ("seen_at",),
}
WORDS = (("a", "b"), ("a", "b", "c"), ("owner", "tenant", "none"), ("low", "middle", "high"))
BOUNDS = ((0, 1), (0, 9), (-5, 5), (0, 150), (1, 1_000), (-(2**31), 2**31 - 1), (-(2**63), 2**63 - 1))
MAX_LENGTHS = (0, 1, 2, 3, None)
PLAIN = ("bool", "int", "money", "words", "text", "double", "instant", "duration")
LISTS = ("records", "numbers", "texts", "instants")
DECLARABLE = ("bool", "int", "money", "words", "text", "instant", "date", "records")


def random_struct(random: Random, depth: int = 0) -> type[Struct]:
    """Return a Struct with a few random fields; records are nested once."""
    kinds = [*random.sample(PLAIN, random.randint(1, 3 if depth else 5))]
    if not depth:
        kinds += random.sample(LISTS, random.choice([0, 1, 1, 2])) + random.choice([[], ["records"], ["record"]])
    elif depth == 1 and random.random() < 0.2:
        kinds.append(random.choice(["numbers", "record"]))
    fields: dict[str, tuple[str, Any, Any]] = {}
    for kind in kinds:
        name = random.choice(NAMES[kind])
        if name not in fields:
            fields[name] = _field(random, name, kind, depth)
    return msgspec.defstruct(f"Facts{depth}", list(fields.values()), frozen=True, kw_only=True)


def _field(random: Random, name: str, kind: str, depth: int) -> tuple[str, Any, Any]:
    annotation = _annotation(random, kind, depth)
    optional = kind != "records" and random.random() < (0.3 if kind in PLAIN or kind == "record" else 0.1)
    return (name, annotation | None, None) if optional else (name, annotation, msgspec.NODEFAULT)


def _annotation(random: Random, kind: str, depth: int) -> Any:  # noqa: ANN401  any annotation
    match kind:
        case "int":
            low, high = random.choice(BOUNDS)
            return Annotated[int, Meta(ge=low, le=high)]
        case "money":
            return Annotated[int, Meta(ge=0, le=10**13)]
        case "words":
            return Literal[random.choice(WORDS)]
        case "record":
            return random_struct(random, depth + 1)
        case "records":
            return _listed(random, random_struct(random, depth + 1))
        case "numbers":
            return _listed(random, Annotated[int, Meta(ge=0, le=9)])
        case "texts":
            return _listed(random, str)
        case "instants":
            return _listed(random, datetime)
        case _:
            return {
                "bool": bool, "text": str, "double": float, "instant": datetime, "duration": timedelta
            }[kind]  # fmt: skip


def _listed(random: Random, element: Any) -> Any:  # noqa: ANN401  any annotation
    longest = random.choice(MAX_LENGTHS)
    return tuple[element, ...] if longest is None else Annotated[tuple[element, ...], Meta(max_length=longest)]


def declared(random: Random, depth: int = 0) -> str:
    """Return the facts of a module as it declares them, in one line of YAML."""
    found: dict[str, str] = {}
    for kind in random.sample(DECLARABLE, random.randint(2, 5)):
        name = random.choice(NAMES["instant" if kind == "date" else kind])
        if depth and kind == "records":
            continue
        found[name] = _declaration(random, kind, depth)
    found.setdefault("member", _declaration(random, "bool", depth))
    return "{" + ", ".join(f"{name}: {{{text}, meaning: {{zh: 甲, en: A}}}}" for name, text in found.items()) + "}"


def _declaration(random: Random, kind: str, depth: int) -> str:
    optional = ", optional: true" if kind != "records" and random.random() < 0.3 else ""
    match kind:
        case "int":
            low, high = random.choice(BOUNDS)
            return f"type: number, at_least: {low}, at_most: {high}{optional}"
        case "words":
            return f"type: words, words: [{', '.join(random.choice(WORDS))}]{optional}"
        case "records":
            return f"type: records, fields: {declared(random, depth + 1)}"
        case _:
            return f"type: {kind}{optional}"
