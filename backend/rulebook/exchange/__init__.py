"""Rule modules from and to the languages around ours: CertLogic JSON and CEL Policy YAML.

An import makes the text of a module with declared facts, or refuses the file with the place of what it cannot express.
The meaning is the same in both, or the file is refused.
"""
