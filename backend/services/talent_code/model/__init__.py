"""What is decided about talents, their benefits and the money, without asking or telling anybody."""
