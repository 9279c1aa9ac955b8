"""The `chengma` command."""
