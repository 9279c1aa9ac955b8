"""What a draft of the rules would change for a whole city, computed over columns of facts instead of objects.

Read `layout` first (which columns the rules need), then `columns`, `kernel_source` (a module as a loop over people),
`kernel` (compiled and cached), `bson_reader` and `msgpack_reader` (stored documents to columns without objects), then
`tally` and `report`. numba is optional: without it, `objects` decides person by person.
"""
