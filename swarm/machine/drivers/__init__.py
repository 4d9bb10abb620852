"""Who makes machines, and turns them on and off? Drivers; what runs on them is no business of theirs."""
