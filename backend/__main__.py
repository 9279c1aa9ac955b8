"""The entry point of the `chengma` command."""

import os

from backend.cli.main import chengma


def main() -> None:
    """Run the command. Files and folders that it creates are accessible to their owner alone."""
    os.umask(0o077)
    chengma(prog_name="chengma")


if __name__ == "__main__":
    main()
