"""Chengma: the open backend of a city's citizen services."""

VERSION = "0.1.0"
"""The version of this edition, as in pyproject.toml."""
