"""Rules for the repository as a whole."""

import ast
import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
NOT_OURS = {".git", ".venv", ".cache", ".hypothesis", "var", "__pycache__"}
FILES = [
    path
    for path in ROOT.rglob("*")
    if path.is_file() and not any(part in NOT_OURS or part.endswith("_cache") for part in path.relative_to(ROOT).parts)
]
TEXTS = {
    path: path.read_text("utf-8", errors="replace") for path in FILES if path.suffix not in {".png", ".db", ".pyc"}
}
OURS = [
    path for path in FILES if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in {"backend", "integrations"}
]


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-test.lock"])
def test_each_locked_package_is_pinned_and_hashed(lock: str) -> None:
    text = re.sub(r"\\\n\s*", " ", (ROOT / lock).read_text())
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    assert len(lines) > 15
    for line in lines:
        assert re.match(r"[A-Za-z0-9._-]+(\[[a-z,]+\])?==\S+ ", line), line[:80]
        assert "--hash=sha256:" in line, line[:80]


def test_the_runtime_lock_holds_all_that_the_backend_needs_without_the_tests() -> None:
    text = (ROOT / "requirements.lock").read_text()
    locked = {canonicalize_name(name) for name in re.findall(r"^([\w.-]+)==", text, re.MULTILINE)}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    requirements = [Requirement(line) for line in project["dependencies"]]
    seen: set[str] = set()
    while requirements:
        needed = requirements.pop()
        if str(needed) in seen or (needed.marker is not None and not needed.marker.evaluate({"extra": ""})):
            continue
        seen.add(str(needed))
        assert canonicalize_name(needed.name) in locked, needed
        for further in map(Requirement, metadata.requires(needed.name) or ()):
            extras = [extra for extra in needed.extras if further.marker and further.marker.evaluate({"extra": extra})]
            if extras:
                further.marker = None
            requirements.append(further)


def test_no_file_contains_a_package_index_or_a_path_of_a_local_machine() -> None:
    wrong = re.compile(
        r"--(extra-)?index-url|--find-links|pypi\.[a-z]+/simple|/(home|Users|root|work)/[a-z]+/|file:///"
    )
    found = {
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path, text in TEXTS.items()
        if path != Path(__file__) and (match := wrong.search(text))
    }
    assert not found


def test_no_file_holds_a_private_key() -> None:
    assert not [path for path, text in TEXTS.items() if re.search(r"BEGIN [A-Z ]*PRIVATE KEY-{5}\n", text)]


@pytest.mark.parametrize("word", ["make run", "make test", "chengma verify", "/reference", "CHENGMA_", "libzbar"])
def test_the_readme_explains_how_to_start(word: str) -> None:
    assert word in (ROOT / "README.md").read_text()


def test_the_licence_is_declared_by_its_spdx_id_and_its_text_is_there() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["license"] == "Apache-2.0"
    assert "Apache License" in (ROOT / "LICENSE").read_text()


def test_continuous_integration_runs_the_projects_own_checks() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111, "it must be executable"
    assert re.search(r"^(CI=true )?make test$", script.read_text(), re.MULTILINE)


def test_each_python_file_has_at_most_400_lines() -> None:
    python = [path for path in FILES if path.suffix == ".py"]
    assert not {str(path.relative_to(ROOT)): n for path in python if (n := len(TEXTS[path].splitlines())) > 400}


def test_each_function_of_the_backend_has_at_most_60_lines() -> None:
    long = {
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}": length
        for path in OURS
        for node in ast.walk(ast.parse(TEXTS[path]))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or node.lineno) - node.lineno + 1) > 60
    }
    assert not long


def test_no_name_contains_an_empty_word() -> None:
    empty = re.compile(r"\b(class|def) \w*(Manager|Helper|Utils?|Abstract|_helper|_utils)\b")
    assert not {f"{path.relative_to(ROOT)}: {match[0]}" for path in OURS if (match := empty.search(TEXTS[path]))}


def test_no_comment_is_marked_as_unfinished() -> None:
    mark = re.compile("TO" + "DO|FIX" + "ME")
    assert not [str(path.relative_to(ROOT)) for path in OURS if mark.search(TEXTS[path])]
