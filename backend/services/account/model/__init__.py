"""Accounts, sign-in codes and sessions: documents and pure decisions."""
