"""Overlay networks on one node: what the managers say of them, and what is made of it."""
