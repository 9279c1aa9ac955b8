"""Documents and pure decisions of the talent code; no input or output.

Read `evidence`, `talent` and `grants` for classes, then `benefit` and `claim` for claims.
"""
