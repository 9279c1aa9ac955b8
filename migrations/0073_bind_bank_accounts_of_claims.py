"""The bank account of a claim is bound to the claim."""

COLLECTION = "claims"
ENCRYPTED = ("account",)
