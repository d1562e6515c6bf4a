"""`onsight bench`: how fast a clip goes through this machine, what limits it, and how far the figures can be trusted.

A `job` is measured as a `whole` (the run itself, watched) and stage by stage (`alone`, on one thread). What comes out
is a `result`: the JSON, from which the table, the page and the comparison are made. The trace is made of the spans.
"""
