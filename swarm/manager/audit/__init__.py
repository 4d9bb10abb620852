"""What was done and denied at this manager, and at all of them."""
