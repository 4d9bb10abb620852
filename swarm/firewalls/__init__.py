"""Firewalls of a machine: which of them closes a port that nodes need, and what opens it."""
