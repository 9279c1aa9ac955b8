"""The routes of accounts, by audience: sign_in, citizen, operator, verifier."""
