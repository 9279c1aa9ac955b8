"""Identity of callers, and the keys that sign, verify and encrypt."""
