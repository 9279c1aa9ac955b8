"""The entry point of the `chengma` command."""

import os

from backend.cli.main import chengma


def main() -> None:
    """Run the command. Files and folders that it creates are accessible to their owner alone.

    Files of rule authors are not: `cli.rules.author_files` creates them with the umask that was set before.
    """
    chengma(prog_name="chengma", obj=os.umask(0o077))


if __name__ == "__main__":
    main()
