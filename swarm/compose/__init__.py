"""Which specs does a compose file ask for? Loading, merging and interpolation, without I/O of their own."""
