"""The tutorial in docs/add-a-service.md, followed exactly in a copy of the repository; it only adds folders."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

TUTORIAL = (ROOT / "docs" / "add-a-service.md").read_text("utf-8")
LISTINGS = dict(re.findall(r"^`([\w/]+\.\w+(?:\.yaml)?)`\n\n```\w+\n(.*?)^```$", TUTORIAL, re.DOTALL | re.MULTILINE))
COPIED = ("backend", "rules", "integrations", "migrations", "openapi", "tests", "docs")
PROGRAMS = Path(sys.executable).parent
ROUTE = "lost_property_register_item"
TESTS = (
    "tests/services/lost_property",
    "tests/rules/test_modules.py",
    "tests/services/test_queries.py::test_a_unique_index_also_works_on_a_sharded_cluster",
    "tests/web/test_openapi.py::test_the_committed_document_is_the_generated_one",
    f"tests/web/test_openapi.py::test_an_operation_documents_the_problems_that_follow_from_it[{ROUTE}]",
    f"tests/web/test_openapi.py::test_every_value_that_a_caller_sends_is_bounded[{ROUTE}]",
    f"tests/web/test_openapi.py::test_schemathesis_finds_no_answer_outside_the_document[{ROUTE}-positive]",
    f"tests/web/test_openapi.py::test_schemathesis_finds_no_answer_outside_the_document[{ROUTE}-negative]",
    "tests/operations/test_deployment_files.py",
    "tests/test_repository.py",
    "tests/city/test_services.py",
    "tests/city/test_declarations.py",
    "tests/cli/test_rules.py",
    "tests/cli/test_synthetic_data.py",
    "tests/test_architecture.py",
)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the repository, and write the files of the tutorial into it."""
    folder = tmp_path_factory.mktemp("copy")
    for name in COPIED:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in ROOT.iterdir():
        if path.is_file() and path.suffix in {"", ".md", ".toml", ".yaml", ".lock"} and path.name != ".git":
            shutil.copy(path, folder / path.name)
    for name in (".ci", ".dockerignore", ".gitignore"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        if not (folder / name).exists():
            copy(ROOT / name, folder / name)
    (folder / ".venv").symlink_to(PROGRAMS.parent)
    for name, text in LISTINGS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    document = run(folder, sys.executable, "-m", "backend", "openapi")  # as `make openapi` does
    (folder / "openapi" / "openapi.yaml").write_text(document, encoding="utf-8")
    return folder


def run(folder: Path, *command: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("CHENGMA_", "PYTEST_"))}
    finished = subprocess.run(
        command,
        cwd=folder,
        env=environment | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert finished.returncode == 0, f"{' '.join(command)}\n{finished.stdout}{finished.stderr}"
    return finished.stdout


def test_the_tutorial_needs_three_folders() -> None:
    folders = {re.sub(r"/(api/)?[^/]+$", "", name) for name in LISTINGS}
    assert folders == {"backend/services/lost_property", "rules/lost_property", "tests/services/lost_property"}


@pytest.mark.parametrize(
    "command",
    [
        ("ruff", "format", "--check", "."),
        ("ruff", "check", "."),
        ("basedpyright", "backend/services/lost_property"),
        ("lint-imports",),
        ("python", "-m", "backend", "rules", "check"),
        ("python", "-m", "backend", "rules", "test"),
        ("python", "-m", "pytest", "-q", *TESTS),
    ],
    ids=lambda command: " ".join(command[:4]),
)
def test_the_tutorial_passes(repository: Path, command: tuple[str, ...]) -> None:
    run(repository, str(PROGRAMS / command[0]), *command[1:])
