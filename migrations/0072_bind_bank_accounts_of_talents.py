"""The bank account of a talent is bound to the talent."""

COLLECTION = "talents"
ENCRYPTED = ("account",)
