"""Visits, bills, credit and consent, and what becomes of them: pure, without input or output."""
