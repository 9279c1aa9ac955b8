"""The entry point of the `chengma` command."""

from backend.cli.main import chengma


def main() -> None:
    """Run the command."""
    chengma(prog_name="chengma")


if __name__ == "__main__":
    main()
