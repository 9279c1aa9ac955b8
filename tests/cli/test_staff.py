"""The commands about staff."""

from pathlib import Path

from tests.cli.command import chengma


def test_the_first_two_operators_are_entered_once_on_the_machine(environment: dict[str, str], tmp_path: Path) -> None:
    chengma("keys", "make", environment=environment, folder=tmp_path)
    phones = ("13800000003", "13800000006")
    entered = chengma("staff", "bootstrap", *phones, environment=environment, folder=tmp_path)
    assert (entered.returncode, entered.stderr) == (0, "")
    again = chengma("staff", "bootstrap", *phones, environment=environment, folder=tmp_path)
    assert again.returncode == 1
    assert "were entered before" in again.stderr
    listed = chengma("staff", "list", "--role", "operator", environment=environment, folder=tmp_path)
    assert listed.stdout.splitlines()[-1] == "2 members of staff."
    assert "identity not yet proved in person" in listed.stdout


def test_a_table_without_a_column_is_refused(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "gates.csv").write_text("phone,roles,venues\n13800000003,gate,west-lake\n")
    (tmp_path / "token").write_text("x")
    refused = chengma(
        "staff", "propose", "gates.csv", "--token-file", "token", environment=environment, folder=tmp_path
    )
    assert refused.returncode == 1
    assert "the table has no column reason" in refused.stderr
