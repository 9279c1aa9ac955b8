"""The structure of the code: no cycles, the same file names in every service, engines that know no service."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parent.parent
SERVICES = sorted(path.parent for path in (ROOT / "backend" / "services").glob("*/__init__.py"))
COMMON = {"__init__", "facts", "rule_modules", "model", "ports", "saga", "tasks", "api", "pages", "synthetic", "demo"}
"""What a service may contain besides modules named after nouns of its domain."""

GERUND = re.compile(r"(^|_)\w{3,}ing($|_)")
NOUNS = {"geocoding"}
"""Nouns of a domain that end like a gerund."""

NO_NOUNS = {"invention", "lines", "looking_after", "people", "shown"}
METHODS = {"delete", "get", "head", "patch", "post", "put", "route"}


@cache
def imports() -> Mapping[str, set[str]]:
    """Return what each module imports of ours, including within functions and for type checking."""
    graph = grimp.build_graph("backend", "integrations", cache_dir=None)
    return {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}


def cycles(graph: Mapping[str, set[str]]) -> Iterator[str]:
    rest = {module: set(imported) for module, imported in graph.items()}
    while True:
        try:
            TopologicalSorter(rest).prepare()
        except CycleError as error:
            first_to_last: list[str] = error.args[1][::-1]
            yield " -> ".join(first_to_last)
            rest[first_to_last[0]].discard(first_to_last[1])
        else:
            return


def test_a_cycle_of_imports_is_found() -> None:
    assert list(cycles({"a": {"b"}, "b": {"c"}, "c": set()})) == []
    assert len(list(cycles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}))) == 1


def test_modules_do_not_import_one_another_in_cycles() -> None:
    found = list(cycles(imports()))
    assert not found, "enqueue tasks by name, or move what both modules need to a third:\n" + "\n".join(found)


@pytest.mark.parametrize("service", SERVICES, ids=lambda path: path.name)
def test_a_service_has_the_common_file_names_and_nouns_of_its_domain(service: Path) -> None:
    names = {path.stem for path in service.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    own = names - COMMON
    wrong = {name for name in own if name in NO_NOUNS or (GERUND.search(name) and name not in NOUNS)}
    assert not wrong, f"name modules after nouns of the domain, or use one of {sorted(COMMON)}"
    files = {"__init__", "facts", "rule_modules", "ports", "tasks", "synthetic", "demo"} & names
    assert all((service / f"{name}.py").exists() for name in files)


@pytest.mark.parametrize("service", SERVICES, ids=lambda path: path.name)
def test_handlers_are_in_the_api_or_the_pages(service: Path) -> None:
    elsewhere = {
        str(path.relative_to(service))
        for path in service.rglob("*.py")
        if path.relative_to(service).parts[0].removesuffix(".py") not in {"api", "pages"} and has_handlers(path)
    }
    assert not elsewhere


def has_handlers(path: Path) -> bool:
    return any(
        isinstance(decorator, ast.Call) and isinstance(decorator.func, ast.Name) and decorator.func.id in METHODS
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for decorator in node.decorator_list
    )


@pytest.mark.parametrize("service", SERVICES, ids=lambda path: path.name)
def test_handlers_do_not_import_handlers(service: Path) -> None:
    api = f"backend.services.{service.name}.api"
    handlers = {f"{api}.{path.stem}" for path in (service / "api").glob("*.py") if has_handlers(path)}
    found = {module: sorted(imports()[module] & (handlers | {api})) for module in sorted(handlers)}
    assert not {module: imported for module, imported in found.items() if imported}


# ── sagas and engines ──

ENGINES = ("paylater", "benefits")
ABOVE_SAGAS = [ROOT / "backend" / name for name in ("services", *ENGINES)]
WORDS_OF_SERVICES = {"hospital", "visit", "insurance", "talent", "class", "park"}
PYTHON_WORDS = {"class", "ClassVar"}
WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
MAX_LINES_OF_THIN_SERVICES = 9_900
"""Of medical credit and the talent code: 5,389 once the engines took over, and since then what they hold on people, the
acts that they log, bank cards, the differences of a hospital's day, consent to hospitals with desk tokens,
transactions over several visits, payments at the counter and hospitals that settle themselves, for authors what
each fact means and what changes it, and what a preview reads of everybody."""


def names_in(node: ast.AST | None) -> set[str]:
    """Return the names and attributes in an expression."""
    nodes = ast.walk(node) if node is not None else ()
    found = {getattr(part, "id", None) or getattr(part, "attr", None) for part in nodes}
    return {name for name in found if name is not None}


def conflicts_and_sleeps(source: str) -> Iterator[tuple[int, str]]:
    """Yield the lines that catch Conflict, or call or import a function named sleep, each with what it does."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.ExceptHandler() if "Conflict" in names_in(node.type):
                yield node.lineno, "catches Conflict"
            case ast.Call() if "suppress" in names_in(node.func) and "Conflict" in names_in(ast.Tuple(node.args)):
                yield node.lineno, "suppresses Conflict"
            case ast.Name(id="sleep") | ast.Attribute(attr="sleep") | ast.alias(name="sleep"):
                yield node.lineno, "sleeps"
            case _:
                pass


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("try:\n    save()\nexcept Conflict:\n    pass", "catches Conflict"),
        ("try:\n    save()\nexcept (Duplicate, store.Conflict) as error:\n    raise", "catches Conflict"),
        ("with suppress(Duplicate, Conflict):\n    save()", "suppresses Conflict"),
        ("with contextlib.suppress(store.Conflict):\n    save()", "suppresses Conflict"),
        ("from asyncio import sleep", "sleeps"),
        ("async def wait():\n    await asyncio.sleep(1)", "sleeps"),
        ("try:\n    save()\nexcept EditConflict:\n    raise Conflict('a', 'b', 1)", None),
    ],
)
def test_a_caught_conflict_and_a_sleep_are_found(source: str, found: str | None) -> None:
    assert [what for _, what in conflicts_and_sleeps(source)] == ([] if found is None else [found])


def test_services_and_engines_leave_conflicts_and_waiting_to_the_saga_and_the_store() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line} {what}"
        for folder in ABOVE_SAGAS
        for path in sorted(folder.rglob("*.py"))
        for line, what in conflicts_and_sleeps(path.read_text(encoding="utf-8"))
    ]
    assert not found, "use jobs.saga or store.update:\n" + "\n".join(found)


def words_of_services(source: str) -> Iterator[tuple[int, str]]:
    """Yield the words of a service's domain in names, texts and comments, each with its line."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.NAME and token.string in PYTHON_WORDS:
            continue
        for number, line in enumerate(token.string.splitlines(), token.start[0]):
            for word in WORD.findall(line):
                if {word.lower(), word.lower().removesuffix("s"), word.lower().removesuffix("es")} & WORDS_OF_SERVICES:
                    yield number, word


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("visit_id = 1", ["visit"]),
        ("open_visits = HospitalBill", ["visits", "Hospital"]),
        ('"""Pay.\n\nThe insurance pays first."""', ["insurance"]),
        ("MAX_PARKS = 3  # for each Talent", ["PARKS", "Talent"]),
        ("TALENTClass = talentClasses", ["TALENT", "Class", "talent", "Classes"]),
        ("text = f'{amount} for a class'", ["class"]),
        ("class Bill(Document):\n    collection: ClassVar[str] = 'bills'", []),
        ("revisit, sparkle, parked, classify = subclass, hospitality, visitor, parking", []),
    ],
)
def test_a_word_of_a_service_is_found_in_names_texts_and_comments(source: str, found: list[str]) -> None:
    assert [word for _, word in words_of_services(source)] == found


def test_engines_do_not_know_the_services_that_use_them() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line} {word}"
        for engine in ENGINES
        for path in sorted((ROOT / "backend" / engine).rglob("*.py"))
        for line, word in words_of_services(path.read_text(encoding="utf-8"))
    ]
    assert not found, "pass what is a service's own as terms and functions:\n" + "\n".join(found)


def test_services_with_an_engine_stay_thin() -> None:
    services = [ROOT / "backend" / "services" / name for name in ("medical_credit", "talent_code")]
    lines = {
        path: len(path.read_text(encoding="utf-8").splitlines())
        for service in services
        for path in service.rglob("*.py")
    }
    assert sum(lines.values()) < MAX_LINES_OF_THIN_SERVICES, "move what other services of the kind need to the engine"
