"""What editors show to rule authors: completion, meanings, definitions, renames and fixes. It knows no protocol.

Read `draft` first (a file that may be half written), then `reference` (what facts and functions mean).
"""
