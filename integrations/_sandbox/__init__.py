"""Shared parts of the sandboxes: their database with fault injection, a bank, and a registry."""
