"""Names for the tasks of this node: what they resolve to, and the name server that says so."""
