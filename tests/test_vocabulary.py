"""The names and phrases of the first edition are not used again."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT

NAMES = frozenset(Path(__file__).with_name("old_dialect.txt").read_text(encoding="utf-8").split())
"""Classes, functions, modules and constants of the old dialect, as whole identifiers."""

PHRASES = (
    r"\banew\b",
    r"\bwhoever\b",
    r"\bgone on with\b",
    r"\bgoes on with\b",
    r"\bgo on with\b",
    r"\bby itself\b",
    r"\bby themselves\b",
    r"\bis told\b",
    r"\bare told\b",
    r"\bis looked (?:at|into|after)\b",
    r"\blooks? after\b",
    r"\bstands? (?:in|at|there|under|beside|below)\b",
    r"\bstood (?:in|at|there|under|beside|below)\b",
    r"\bcounts (?:from|until|for|no more)\b",
    r"\bcount no more\b",
    r"\bfor want of\b",
    r"\bis given up\b",
    r"\bare given up\b",
    r"\bwas given up\b",
    r"\bbears? with\b",
    r"\bbrought (?:on|up)\b",
    r"\bbrings? on\b",
    r"\bmends?\b",
    r"\bmended\b",
    r"\bfor the \d\. time\b",
    r"\bin its stead\b",
    r"\bat most [a-z]+ing\b",
)
"""What a native-speaking engineer would not write; english.md's patterns."""

OLD_TEXTS = {
    "tests/old_dialect.txt",
    "CHANGELOG.md",
    "openapi/renames.yaml",
    "openapi/apply_renames.py",
    "tests/test_vocabulary.py",
}


def tracked(*suffixes: str) -> list[Path]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout  # noqa: S607
    names = [name for name in listed.splitlines() if name.endswith(suffixes) and name not in OLD_TEXTS]
    return [ROOT / name for name in names if (ROOT / name).exists()]


def identifiers(text: str) -> set[str]:
    """Return all names that a Python file defines or uses."""
    tree = ast.parse(text)
    named = {
        getattr(node, "name", None) or getattr(node, "id", None) or getattr(node, "attr", None)
        for node in ast.walk(tree)
    }
    arguments = {node.arg for node in ast.walk(tree) if isinstance(node, (ast.arg, ast.keyword)) and node.arg}
    modules = {
        part for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for part in (node.module or "").split(".")
    }
    return {name for name in named | arguments | modules if isinstance(name, str)}


@pytest.mark.parametrize("folder", ["backend", "integrations", "migrations", "tests"])
def test_no_name_of_the_old_dialect_is_defined_or_used(folder: str) -> None:
    found = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in tracked(".py")
        if path.is_relative_to(ROOT / folder)
        for name in NAMES & {*identifiers(path.read_text("utf-8")), path.stem}
    }
    assert not found, "\n".join(sorted(found))


@pytest.mark.parametrize("kind", [".py", ".md", ".yaml", ".toml"])
def test_no_phrase_of_the_old_dialect_is_written(kind: str) -> None:
    phrase = re.compile("|".join(PHRASES), re.IGNORECASE)
    found = [
        f"{path.relative_to(ROOT)}:{number}: {match[0]}"
        for path in tracked(kind)
        for number, line in enumerate(path.read_text("utf-8", errors="replace").splitlines(), 1)
        if (match := phrase.search(line))
    ]
    assert not found, "\n".join(found)
