"""The language server, spoken to byte by byte as an editor does."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.language_client import LanguageClient
from tests.conftest import ROOT

FRAME = "health_code/frame.yaml"
CASES = "health_code/frame.cases.yaml"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rules")
    shutil.copytree(ROOT / "rules" / "health_code", folder / "health_code", dirs_exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[LanguageClient]:
    client = LanguageClient(folder)
    client.open(FRAME)
    client.open(CASES)
    yield client
    client.close()


@pytest.fixture
def text(client: LanguageClient, folder: Path) -> Iterator[str]:
    """Return the text of the module, which is restored after the test."""
    text = (folder / FRAME).read_text("utf-8")
    yield text
    client.change(FRAME, text)


def place(text: str, part: str, within: int = 0) -> tuple[int, int]:
    """Return the line and the character of a part of a text."""
    before = text[: text.index(part) + within]
    return before.count("\n"), len(before.rpartition("\n")[2])


def test_a_misspelt_fact_is_shown_while_it_is_typed_and_vanishes_when_corrected(
    client: LanguageClient, text: str
) -> None:
    client.change(FRAME, text.replace("facts.doses", "facts.dosis"))
    (fault,) = client.faults(FRAME, until=1)
    line, character = place(text, "doses) >=")
    assert fault["range"] == {
        "start": {"line": line, "character": character},
        "end": {"line": line, "character": character + len("dosis")},
    }
    client.change(FRAME, text)
    assert client.faults(FRAME, until=0) == []


def test_a_quick_fix_replaces_the_misspelt_fact(client: LanguageClient, text: str) -> None:
    client.change(FRAME, text.replace("facts.doses", "facts.dosis"))
    (fault,) = client.faults(FRAME, until=1)
    where = {"textDocument": {"uri": client.uri(FRAME)}, "range": fault["range"], "context": {"diagnostics": [fault]}}
    (action,) = client.request("textDocument/codeAction", where)
    (edit,) = action["edit"]["changes"][client.uri(FRAME)]
    assert (edit["newText"], edit["range"]) == ("doses", fault["range"])


def test_positions_behind_chinese_and_rare_characters_are_counted_in_utf_16(client: LanguageClient, text: str) -> None:
    line = next(line for line in text.split("\n") if line.startswith("title:"))
    changed = text.replace(line, "title: {zh: 𠮷𠮷疫苗, english: Gold}")
    client.change(FRAME, changed)
    fault = client.faults(FRAME, until=2)[0]
    assert fault["range"]["start"]["character"] == len("title: {zh: ") + 2 + 2 + 2 + len(", ")


def test_the_facts_are_completed_inside_a_condition(client: LanguageClient, text: str) -> None:
    changed = text.replace("when: size(facts.doses) >= doses_due", "when: size(facts.")
    client.change(FRAME, changed)
    line, character = place(changed, "when: size(facts.", len("when: size(facts."))
    found = client.at("completion", FRAME, line, character)
    assert {"doses", "contacts", "born_at"} <= {item["label"] for item in found["items"]}


def test_a_parameter_shows_its_values_by_date(client: LanguageClient, text: str) -> None:
    line, character = place(text, ">= doses_due", 5)
    found = client.at("hover", FRAME, line, character)
    assert "2021-05-01 – 2025-09-01: 2" in found["contents"]["value"]


def test_the_definition_of_a_rule_in_a_case_is_its_place_in_the_module(client: LanguageClient, text: str) -> None:
    cases = (client.folder / CASES).read_text("utf-8")
    line, character = place(cases, "rule: fully-vaccinated", 8)
    found = client.at("definition", CASES, line, character)
    expected = place(text, "fully-vaccinated")
    assert found["uri"] == client.uri(FRAME)
    assert (found["range"]["start"]["line"], found["range"]["start"]["character"]) == expected


def test_the_definition_of_a_fact_is_its_field_in_the_struct(client: LanguageClient, text: str) -> None:
    line, character = place(text, "facts.doses", 8)
    found = client.at("definition", FRAME, line, character)
    assert found["uri"].endswith("backend/services/health_code/facts.py")
    source = (ROOT / "backend/services/health_code/facts.py").read_text("utf-8").split("\n")
    number: int = found["range"]["start"]["line"]
    assert source[number].lstrip().startswith("doses:")


def test_a_rule_is_renamed_in_the_module_and_its_cases(client: LanguageClient, text: str) -> None:
    line, character = place(text, "id: fully-vaccinated", 6)
    found = client.at("rename", FRAME, line, character, newName="vaccinated")
    assert {uri: len(edits) for uri, edits in found["changes"].items()} == {client.uri(FRAME): 1, client.uri(CASES): 1}


def test_a_rule_is_not_renamed_to_what_cannot_be_an_id(client: LanguageClient, text: str) -> None:
    line, character = place(text, "id: fully-vaccinated", 6)
    assert "Fully Vaccinated" in client.at("rename", FRAME, line, character, newName="Fully Vaccinated")["message"]


def test_a_lens_above_each_rule_says_how_many_of_its_cases_pass(client: LanguageClient, text: str) -> None:
    client.request("workspace/executeCommand", {"command": "chengma.runCases", "arguments": [client.uri(FRAME), ""]})
    (lens,) = client.request("textDocument/codeLens", {"textDocument": {"uri": client.uri(FRAME)}})
    assert lens["range"]["start"]["line"] == place(text, "fully-vaccinated")[0]
    assert lens["command"]["title"] == "▶ 3 cases pass"


def test_a_lens_runs_the_cases_and_names_those_that_fail(client: LanguageClient) -> None:
    cases = (client.folder / CASES).read_text("utf-8")
    client.change(CASES, cases.replace("expect: gold", "expect: none", 1))
    arguments = [client.uri(FRAME), "fully-vaccinated"]
    client.request("workspace/executeCommand", {"command": "chengma.runCases", "arguments": arguments})
    client.change(CASES, cases)
    assert "3 cases, 1 failed" in client.messages[-1]
    assert "from the day the frame was introduced" in client.messages[-1]


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9], ids="{:.0%}".format)
def test_a_half_written_file_is_answered(client: LanguageClient, text: str, share: float) -> None:
    half = text[: int(len(text) * share)]
    client.change(FRAME, half)
    line, character = half.count("\n"), len(half.rpartition("\n")[2])
    for method in ("completion", "hover", "definition"):
        answer = client.at(method, FRAME, line, character)
        assert not isinstance(answer, dict) or "code" not in answer


def test_an_editor_set_to_chinese_reads_chinese(folder: Path) -> None:
    client = LanguageClient(folder, locale="zh-CN", encodings=("utf-8", "utf-16"))
    client.open(FRAME)
    text = (folder / FRAME).read_text("utf-8")
    line, _ = place(text, "because:")
    character = len("    because")
    assert client.at("hover", FRAME, line, character)["contents"]["value"] == "告知市民的理由"
    client.close()
