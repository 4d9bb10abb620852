"""Looking at what a manager has on disk, without changing anything."""
