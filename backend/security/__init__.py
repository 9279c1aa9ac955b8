"""Who a caller is, and the keys that sign, verify and encrypt."""
