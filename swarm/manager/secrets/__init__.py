"""Secrets that are kept elsewhere: their drivers, asked by the manager that has the session of a node."""
