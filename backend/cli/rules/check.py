"""`chengma rules check` and `chengma rules test`."""

from __future__ import annotations

from pathlib import Path

import click

from backend.cli.errors import load_settings
from backend.cli.garbage_collection import no_collection
from backend.cli.language import AuthorCommand, AuthorOption, say
from backend.cli.rules.loading import FOLDER, count_rules, load, test_folder
from backend.cli.rules.standing import check_claims, prove_rules, prove_standing_claims
from backend.cli.rules.watch import WATCH, watch_rules
from backend.i18n import Text
from backend.rulebook.prover import is_installed


@click.command(
    cls=AuthorCommand,
    zh="""检查 FOLDER（默认：本市的规则文件夹）中的全部规则模块。

逐一显示每处错误及其文件、行和列；有错误时以1退出。
缺少服务所需的模块，或其事实、结果不同，也是错误。""",
)
@FOLDER
@WATCH
@click.option(
    "--prove",
    is_flag=True,
    cls=AuthorOption,
    help="Prove that every rule can fire and decide (needs `make authors`).",
    zh="证明每条规则都能成立并决定结果（需要 make authors）。",
)
def check(folder: Path | None, *, prove: bool, watch: bool) -> None:
    """Check every rule module in FOLDER (default: the city's own folder of rules).

    Prints each fault with its file, line and column, and exits with 1 if there is one. A module that a service needs,
    and that is missing or has other facts or results, is a fault.
    """
    settings = load_settings()
    if watch:
        watch_rules(settings, folder, cases=False)
    with no_collection():
        rulebook = load(settings, folder, strict=True)
        rulebook.compile()
        check_claims(settings, folder, rulebook)
    if prove:
        prove_rules(settings, folder, rulebook)
    say(
        Text(zh="{rules}有效。编号 {digest}", en="{rules} are valid. Digest {digest}"),
        rules=count_rules(rulebook),
        digest=rulebook.digest[:16],
    )


@click.command(
    cls=AuthorCommand,
    zh="""运行 FOLDER（默认：本市的规则文件夹）中各规则模块旁边的案例。

案例不通过时，显示预期、实际和理由。每条规则应在一个案例中成立，在同一时期的另一个案例中不成立。
装有求解器（make authors）时，还证明长期主张。有任何错误即以1退出。""",
)
@FOLDER
@WATCH
def test(folder: Path | None, *, watch: bool) -> None:
    """Run the cases next to the rule modules in FOLDER (default: the city's own folder of rules).

    A failed case is printed with the expected result, the actual result and the reason. Every rule must fire in one
    case and not fire in another case of the same period. The standing claims are proved if the solver is installed
    (`make authors`). Exits with 1 if anything is wrong.
    """
    settings = load_settings()
    if watch:
        watch_rules(settings, folder, cases=True)
    rulebook, cases = test_folder(settings, folder)
    say(
        Text(
            zh="{cases}个案例全部通过，覆盖{rules}。编号 {digest}",
            en="{cases} cases pass and cover {rules}. Digest {digest}",
        ),
        cases=cases,
        rules=count_rules(rulebook),
        digest=rulebook.digest[:16],
    )
    prove_standing_claims(settings, folder, rulebook)
    if is_installed():
        prove_rules(settings, folder, rulebook)
