"""The text of a hospital's message is bound to the message."""

COLLECTION = "his_messages"
ENCRYPTED = ("raw",)
