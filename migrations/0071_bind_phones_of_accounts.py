"""The phone of an account is bound to the account."""

COLLECTION = "accounts"
ENCRYPTED = ("phone",)
