"""The structure of the code: no import cycles, and the same file names in every service."""

import ast
import re
from collections.abc import Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parent.parent
SERVICES = sorted(path.parent for path in (ROOT / "backend" / "services").glob("*/__init__.py"))
COMMON = {"__init__", "facts", "model", "ports", "saga", "tasks", "api", "pages", "synthetic", "demo"}
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
    files = {"__init__", "facts", "ports", "tasks", "synthetic", "demo"} & names
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
