"""The guides are true: links resolve, diagrams and tables match the code, and the walk-throughs work."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from backend.app import documents_of
from backend.city.service import discover_services
from backend.settings import settings_table
from backend.store.retention import retention_table
from tests.cli.test_commands import running
from tests.conftest import ROOT

GUIDES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "rules" / "README.md", *(ROOT / "docs").glob("*.md")]
PAGES = {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in sorted(GUIDES)}
EVERY_PAGE = {
    **PAGES,
    **{name: (ROOT / name).read_text("utf-8") for name in ("CHANGELOG.md", "tests/bench/RESULTS.md")},
    **{
        path.relative_to(ROOT).as_posix(): path.read_text("utf-8")
        for path in sorted((ROOT / "docs/rules").glob("*.md"))
    },
}


def test_the_readme_has_at_most_150_lines() -> None:
    assert len(PAGES["README.md"].splitlines()) <= 150


def test_each_guide_is_linked_from_the_readme() -> None:
    linked = {target.partition("#")[0] for target in links(PAGES["README.md"])}
    assert {name for name in PAGES if name.startswith("docs/")} <= linked


# ── links ──


def prose(text: str) -> str:
    """Return a text without its code blocks."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


def links(text: str) -> list[str]:
    found = re.findall(r"\]\(([^)\s]+)\)", prose(text))
    return [target for target in found if not re.match(r"[a-z]+:", target)]


def anchors(text: str) -> set[str]:
    """Return the anchors of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", EVERY_PAGE)
def test_every_relative_link_resolves(name: str) -> None:
    for target in links(EVERY_PAGE[name]):
        path, _, anchor = target.partition("#")
        file = (ROOT / name).parent / path if path else ROOT / name
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file.read_text("utf-8")), target


# ── tables and diagrams that are generated or declared in code ──


def test_the_settings_table_is_the_settings() -> None:
    assert settings_table() in PAGES["docs/settings.md"]


def test_the_table_of_retention_is_that_of_the_documents() -> None:
    kinds = documents_of(discover_services())
    assert retention_table({kind.collection: kind.retention for kind in kinds}) in PAGES["docs/personal-data.md"]


def layers_of_the_contract() -> list[set[str]]:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = (contract["layers"] for contract in contracts if contract["name"] == "layers")
    return [{name.strip(" ()").removeprefix("backend.") for name in re.split(r"[|:]", layer)} for layer in layers]


def layers_of_the_diagram() -> list[set[str]]:
    (diagram,) = re.findall(r"^```mermaid\n(.*?)^```$", PAGES["docs/architecture.md"], re.DOTALL | re.MULTILINE)
    labels = dict(re.findall(r'^ *(\w+)\["(\w+)(?:<br/>[^"]*)?"\]$', diagram, re.MULTILINE))
    rows: list[list[str]] = []
    for upper, lower in re.findall(r"^ *([\w &]+?) --> ([\w &]+)$", diagram, re.MULTILINE):
        assert not rows or rows[-1] == upper.split(" & "), "the arrows lead from layer to layer"
        rows.extend([lower.split(" & ")] if rows else [upper.split(" & "), lower.split(" & ")])
    assert sorted(labels) == sorted(name for row in rows for name in row), "each box is in one layer"
    return [{labels[name] for name in row} for row in rows]


def test_the_diagram_of_the_packages_is_the_import_contract() -> None:
    assert layers_of_the_diagram() == layers_of_the_contract()


def test_each_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {target for text in PAGES.values() for target in re.findall(r"(?:^|`)make (\w+)", text, re.MULTILINE)}
    assert len(named) > 5
    assert named <= targets


# ── the walk-throughs ──

TOUR = (
    "README.md",
    "docs/account.md",
    "docs/health-code.md",
    "docs/medical-credit.md",
    "docs/school-lookup.md",
    "docs/school-plans.md",
    "docs/talent-code.md",
)
VARIES = "the output varies from run to run"
FENCE = re.compile(r"^(?:<!-- (?P<note>[^\n]*) -->\n)?```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
MARK = "@@@"


class Step(NamedTuple):
    """Commands of a page, and the output that it shows for them."""

    page: str
    commands: str
    expected: str
    varies: bool


def steps_of(page: str) -> Iterator[Step]:
    """Read the steps of a page: `sh` with the next fence as its output, and `console` with `$` before commands."""
    fences = [match.groupdict() for match in FENCE.finditer(PAGES[page])]
    for place, fence in enumerate(fences):
        note, before = fence["note"] or "", ""
        if note.startswith("run: "):
            before = note.removeprefix("run: ") + "\n"
        if fence["kind"] == "sh" and "make run" not in fence["text"]:
            after = fences[place + 1] if place + 1 < len(fences) else {"kind": "sh", "text": "", "note": ""}
            expected = after["text"] if after["kind"] in ("", "json") else ""
            yield Step(page, before + fence["text"], expected, after["note"] == VARIES)
        if fence["kind"] == "console":
            for part in re.split(r"^\$ ", fence["text"], flags=re.MULTILINE)[1:]:
                command, _, expected = part.partition("\n")
                yield Step(page, before + command + "\n", expected.rstrip(), varies=False)


STEPS = [step for page in TOUR for step in steps_of(page)]


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Follow all steps, in order, in one shell next to a running demonstration."""
    folder = tmp_path_factory.mktemp("tour")
    environment = surroundings(folder)
    with running("demo", "--citizens", "400", environment=environment, folder=folder) as (_, screen):
        script = as_shown(
            "".join(f"echo '{MARK}'\n{step.commands}echo \"rc $?\"\n" for step in STEPS), screen.read_text()
        )
        script = script.replace("127.0.0.1:8000", f"127.0.0.1:{environment['CHENGMA_PORT']}")
        script = script.replace(".venv/bin/chengma", f"'{sys.executable}' -m backend")
        done = subprocess.run(
            ["bash", "-c", put_the_benefit() + script],  # noqa: S607  the reader's own shell
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )
    return done.stdout.split(f"{MARK}\n")[1:]


def surroundings(folder: Path) -> dict[str, str]:
    """Return the environment of a city in a folder, with its own copy of the rules."""
    shutil.copytree(ROOT / "rules", folder / "rules")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CHENGMA_")}
    return inherited | {
        "PYTHONPATH": str(ROOT),
        "COLUMNS": "200",
        "no_proxy": "*",
        "CHENGMA_PORT": str(port),
        "CHENGMA_STORE": f"sqlite:///{folder}/var/city.db",
        "CHENGMA_KEYS": str(folder / "var" / "keys"),
        "CHENGMA_SANDBOX": str(folder / "var" / "sandbox.db"),
        "CHENGMA_ADDRESS_REQUESTS_PER_MINUTE": "1000",
    }


def as_shown(script: str, screen: str) -> str:
    """Replace the guide's people with those that the demonstration printed."""
    (talent,) = re.findall(r"^  (1\d{10})  .*? TALENT [A-E]  ", screen, re.MULTILINE)
    ((newcomer, degree),) = re.findall(r"^  (1\d{10})  no class yet; may declare (.+)$", screen, re.MULTILINE)
    (green,) = re.findall(r"^  (1\d{10})  .*? GREEN  ", screen, re.MULTILINE)
    script = re.sub(r"^DEGREE=.*$", f"DEGREE='{json.dumps(json.loads(degree))}'", script, flags=re.MULTILINE)
    for printed, shown in {"13900000013": talent, "13900000302": newcomer, "13900000000": green}.items():
        script = script.replace(printed, shown)
    return script


def put_the_benefit() -> str:
    """Return the shell function that adds the guide's benefit to the rules."""
    blocks = re.findall(r"^```yaml\n(.*?)^```$", PAGES["docs/add-a-rule-module.md"], re.DOTALL | re.MULTILINE)
    module, cases = (block for block in blocks if block.startswith("module: talent_code.benefits.furnishing"))
    folder = "rules/talent_code/benefits"
    files = {f"{folder}/furnishing.yaml": module, f"{folder}/furnishing.cases.yaml": cases}
    writing = "".join(f"cat > {name} <<'EOF_OF_FILE'\n{text}EOF_OF_FILE\n" for name, text in files.items())
    return f"put-the-benefit() {{\n{writing}}}\n"


def plainly(text: str) -> list[str]:
    """Replace parts that differ between runs: instants, digests, and counts of rules."""
    text = re.sub(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z| UTC|\+0[08]:00)", "<instant>", text)
    text = re.sub(r"\b[0-9a-f]{16,64}\b", "<digest>", text)
    text = re.sub(r"^\d+ cases pass.*", "<cases pass>", text, flags=re.MULTILINE)
    return [line.rstrip() for line in text.splitlines()]


def chunks(expected: str) -> list[list[str]]:
    """Split an expected output where it omits lines."""
    found: list[list[str]] = [[]]
    for line in plainly(expected):
        if line == "...":
            found.append([])
        else:
            found[-1].append(line)
    return [chunk for chunk in found if chunk]


def place_of(chunk: Sequence[str], lines: Sequence[str], start: int) -> int | None:
    """Return the line at which a chunk begins, searching from `start`, or None."""
    for place in range(start, len(lines) - len(chunk) + 1):
        if list(lines[place : place + len(chunk)]) == list(chunk):
            return place
    return None


@pytest.mark.parametrize("number", range(len(STEPS)), ids=[f"{step.page}-{n}" for n, step in enumerate(STEPS)])
def test_a_step_of_a_walk_through_prints_what_its_page_says(number: int, outputs: list[str]) -> None:
    step, output = STEPS[number], outputs[number]
    assert "Traceback" not in output
    if not step.varies:
        lines, start = plainly(output), 0
        for chunk in chunks(step.expected):
            place = place_of(chunk, lines, start)
            assert place is not None, f"{chunk}\nis not in\n{output}"
            start = place + len(chunk)
    members = set(re.findall(r'"(\w+)":', step.expected))
    assert members <= set(re.findall(r'"(\w+)":', output)), output
    if "Error:" not in step.expected:
        assert output.endswith("rc 0\n"), output
