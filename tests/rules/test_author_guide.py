"""The guide for authors of rules is true in both languages: every file in it is written, and every command is run.

`make test` follows the Chinese guide, and checks that the English one has the same files and commands; `make soak`
follows both. CHENGMA_UPDATE_GOLDEN=1 writes what the commands print into the guides. In an output that a guide shortens
with `...`, it writes again only what stands before the first and after the last of them.
"""

import io
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from backend.cli.main import chengma
from tests.cli.command import running
from tests.cli.test_login import CodeFromPhone, Office
from tests.conftest import ROOT
from tests.draws import SOAK
from tests.servers import free_port

pytestmark = pytest.mark.slow

PAGES = {"zh": ROOT / "docs" / "rules" / "guide.zh.md", "en": ROOT / "docs" / "rules" / "guide.md"}
CITIZENS = "20"
UPDATED = bool(os.environ.get("CHENGMA_UPDATE_GOLDEN"))
SHOWN_PORT = "127.0.0.1:8000"
PROMPT = re.compile(r"^(author|approver)\$ ", re.MULTILINE)
DIGEST = re.compile(r"\b[0-9a-f]{16}\b")


@dataclass(frozen=True)
class Step:
    """A file that the reader writes, or a command with what the guide says that it prints; `place` is in the page."""

    kind: str
    text: str
    person: str = "author"
    expected: str = ""
    place: int = 0


def steps_of(page: str) -> Iterator[Step]:
    """Yield what a reader of the guide does, in order."""
    fences = list(re.finditer(r"^```(\w*)\n(.*?)^```$", page, re.DOTALL | re.MULTILINE))
    for fence, after in zip(fences, [*fences[1:], None], strict=True):
        kind, body = fence[1], fence[2]
        if kind == "yaml":
            yield Step("file", body, place=fence.start(2))
        if kind == "sh":
            shown = after if after is not None and after[1] == "json" else None
            expected, place = (shown[2], shown.start(2)) if shown else ("", 0)
            yield Step("shell", body, expected=expected, place=place)
        if kind == "console":
            prompts = list(PROMPT.finditer(body))
            for prompt, then in zip(prompts, [*(one.start() for one in prompts[1:]), len(body)], strict=True):
                command, _, output = body[prompt.end() : then].partition("\n")
                place = fence.start(2) + prompt.end() + len(command) + 1
                yield Step("command", command, prompt[1], output, place)


STEPS = {language: list(steps_of(page.read_text("utf-8"))) for language, page in PAGES.items()}


@dataclass
class Reader:
    """A reader who follows the guide in a folder, next to a running city."""

    office: Office
    folder: Path
    language: str
    digests: dict[str, str] = field(default_factory=dict)
    solver: bool = False

    def follow(self, step: Step) -> str:
        """Do a step and return what it printed, with the address of the guide."""
        if step.kind == "file":
            self.write(step.text)
            return ""
        output = self.shell(step.text) if step.kind == "shell" else self.command(step.person, step.text)
        output = output.replace(self.office.address.removeprefix("http://"), SHOWN_PORT)
        known = self.digests.values()
        new = [digest for digest in dict.fromkeys(DIGEST.findall(output)) if digest not in known]
        shown = [digest for digest in dict.fromkeys(DIGEST.findall(step.expected)) if digest not in self.digests]
        self.digests |= dict(zip(shown, new, strict=False))
        return output

    def write(self, text: str) -> None:
        """Write a file as its first line says: the whole file, its next part, or one part again."""
        heading, _, body = text.partition("\n")
        name, way = re.fullmatch(r"# ([\w./]+) ?(.*)", heading).groups()  # pyright: ignore[reportOptionalMemberAccess]
        path = self.folder / name
        before = path.read_text("utf-8") if way else ""
        if way in ("(change this part)", "（改这一段）"):
            path.write_text(with_changed_part(before, body), "utf-8")
        else:
            assert way in ("", "(continued)", "（接着写）"), way
            path.write_text(before + body, "utf-8")

    def shell(self, script: str) -> str:
        """Run lines of a shell. The city of `make run` serves already; `make authors` has installed the solver."""
        if "make authors" in script:
            self.solver = True
        if "make " in script:
            targets = (ROOT / "Makefile").read_text("utf-8")
            assert all(f"\n{target}: " in targets for target in re.findall(r"make (\w+)", script))
            return ""
        script = script.replace(SHOWN_PORT, self.office.address.removeprefix("http://"))
        done = subprocess.run(
            ["bash", "-c", script],  # noqa: S607  the reader's own shell
            cwd=self.folder,
            env=os.environ | {"no_proxy": "*"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        return done.stdout

    def command(self, person: str, command: str) -> str:
        """Run a command in the terminal of the author or of the approver."""
        for shown, real in self.digests.items():
            command = command.replace(shown, real)
        name, *arguments = shlex.split(command)
        if name != "chengma":
            return self.shell(command)
        given = "y\n"
        if arguments[0] == "login":
            phone = arguments[1]
            given = io.BufferedReader(CodeFromPhone(lambda: self.office.newest_code(phone)))
        environment = {
            "XDG_CONFIG_HOME": str(self.folder / person),
            "CHENGMA_API": self.office.address,
            "CHENGMA_LANGUAGE": self.language,
            "COLUMNS": "100",
        }
        with pytest.MonkeyPatch.context() as patch:
            if not self.solver:
                patch.setattr("backend.rulebook.prover.find_spec", not_installed)
            return CliRunner().invoke(chengma, arguments, input=given, env=environment).output


def not_installed(_package: str) -> None:
    """Find no package, as on the machine of an author who has not run `make authors` yet."""


def with_changed_part(text: str, part: str) -> str:
    """Return the text of a file with one part of it, which begins with the same line, replaced."""
    first = part.splitlines()[0]
    lines = text.splitlines(keepends=True)
    begin = lines.index(f"{first}\n")
    margin = len(first) - len(first.lstrip())
    end = begin + 1
    while end < len(lines) and (not lines[end].strip() or len(lines[end]) - len(lines[end].lstrip()) > margin):
        end += 1
    return "".join([*lines[:begin], part, *lines[end:]])


LANGUAGES = ["zh", "en"] if SOAK or UPDATED else ["zh"]


@pytest.fixture(scope="module", params=LANGUAGES)
def followed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Follow all steps of the guide in a language, in order; return what each printed."""
    language: str = request.param
    folder = tmp_path_factory.mktemp(f"guide-{language}")
    shutil.copytree(ROOT / "rules", folder / "rules")
    own = {
        "CHENGMA_PORT": str(free_port()),
        "CHENGMA_STORE": f"sqlite:///{folder}/var/city.db",
        "CHENGMA_KEYS": str(folder / "var" / "keys"),
        "CHENGMA_SANDBOX": str(folder / "var" / "sandbox.db"),
        "CHENGMA_ADDRESS_REQUESTS_PER_MINUTE": "1000",
    }
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CHENGMA_")} | own
    environment |= {"PYTHONPATH": str(ROOT)}
    with (
        running("demo", "--citizens", CITIZENS, environment=environment, folder=folder) as (client, _),
        pytest.MonkeyPatch.context() as patch,
    ):
        for name in [name for name in os.environ if name.startswith("CHENGMA_") or name == "CI"]:
            patch.delenv(name)
        for name, value in own.items():
            patch.setenv(name, value)
        patch.chdir(folder)
        reader = Reader(Office(client, folder), folder, language)
        outputs = [reader.follow(step) for step in STEPS[language]]
    if UPDATED:
        update(language, outputs, reader.digests)
    return outputs


def update(language: str, outputs: list[str], digests: dict[str, str]) -> None:
    """Write what the commands printed into the guide, and the digests of this edition of the rules."""
    page = PAGES[language].read_text("utf-8")
    for number, output in reversed(list(enumerate(outputs))):
        step = STEPS[language][number]
        if step.kind == "file" or (step.kind == "shell" and not step.expected) or is_as_said(step.expected, output):
            continue
        written = shortened_as(step.expected, output)
        page = page[: step.place] + written + page[step.place + len(step.expected) :]
        STEPS[language][number] = replace(step, expected=written)
    for shown, real in digests.items():
        page = page.replace(shown, real)
    PAGES[language].write_text(page, "utf-8")


def shortened_as(expected: str, output: str) -> str:
    """Return an output, shortened where the guide shortens it."""
    lines, shown = output.rstrip().splitlines(), expected.splitlines()
    if "..." in shown:
        first = shown.index("...")
        last = len(shown) - 1 - shown[::-1].index("...")
        tail = len(shown) - last - 1
        lines = [*lines[:first], *shown[first : last + 1], *(lines[-tail:] if tail else [])]
    return "".join(f"{line.rstrip()}\n" for line in lines)


def plainly(text: str) -> list[str]:
    """Replace what differs between runs.

    That is digests, the instants and accounts of acts, seconds, sign-in codes and counts of all rules. The line that
    says that the review is being made is printed only if it is not made already.
    """
    text = DIGEST.sub("<digest>", text)
    text = re.sub(r"\b20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+\+08:00", "<instant>", text)
    text = re.sub(r"^(<digest>  ).*?( – )(\S+)", r"\1<instant>\2<instant>", text, flags=re.MULTILINE)
    text = re.sub(r"(提交：|施行：|submitted by |activated by )[\w-]+", r"\1<account>", text)
    text = re.sub(r"\(\d+\.\d s\)", "(<seconds>)", text)
    text = re.sub(
        r"^(\d+ \w+ \d{4}( at \d\d:\d\d)?: |20\d\d年\d+月\d+日(\d\d:\d\d)?：)", "<now>: ", text, flags=re.MULTILINE
    )
    text = re.sub(r"^(正在生成审查材料……|The review is being made \.\.\.)$", "", text, flags=re.MULTILINE)
    text = re.sub(r": \d{6}$", ": <code>", text, flags=re.MULTILINE)
    text = re.sub(r"\d+(?= cases| rules| modules|个案例|个模块|条规则)", "<count>", text)
    return [line.rstrip() for line in text.splitlines() if line.strip()]


def is_as_said(expected: str, output: str) -> bool:
    """Return whether an output is what the guide says, apart from what it leaves out with `...`."""
    chunks: list[list[str]] = [[]]
    for line in plainly(expected):
        if line == "...":
            chunks.append([])
        else:
            chunks[-1].append(line)
    lines, start = plainly(output), 0
    for chunk in chunks:
        places = range(start, len(lines) - len(chunk) + 1)
        place = next((one for one in places if lines[one : one + len(chunk)] == chunk), None)
        if place is None or (chunk is chunks[0] and place > 0):
            return False
        start = place + len(chunk)
    return not chunks[-1] or start == len(lines)


def test_the_guide_prints_what_the_commands_print(followed: list[str], request: pytest.FixtureRequest) -> None:
    language: str = request.node.callspec.params["followed"]
    wrong = [
        f"{step.text}\n--- the guide\n{step.expected}\n--- the command\n{output}"
        for step, output in zip(STEPS[language], followed, strict=True)
        if (step.kind == "command" or step.expected) and not is_as_said(step.expected, output)
    ]
    assert not wrong, "\n\n".join(wrong)


def test_both_guides_do_the_same() -> None:
    zh, en = ([(step.kind, step.person) for step in STEPS[language]] for language in ("zh", "en"))
    assert zh == en
    for one, other in zip(STEPS["zh"], STEPS["en"], strict=True):
        if one.kind == "file":
            assert without_remarks(one.text) == without_remarks(other.text)
        if one.kind == "command" and "--note" not in one.text:
            assert DIGEST.sub("", one.text) == DIGEST.sub("", other.text)


def without_remarks(text: str) -> list[str]:
    """Return the lines of a file that count."""
    lines = (re.sub(r"(^|\s+)#.*", "", line) for line in text.splitlines())
    return [line for line in lines if line]
