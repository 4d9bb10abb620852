"""What only managers do: agree, decide, and tell agents."""
