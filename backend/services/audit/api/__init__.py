"""The routes of the audit log, by audience: citizen, auditor, verifier."""
