"""Explain a verdict: why it came about, why no other rule decided, and the smallest way to a better one.

Read `changes` (what a service says may change), `atoms` and `candidates` (the changes that are tried), `way_out` (the
search), then `explanation` (the result) and `plain` (the result as a citizen reads it).
"""
