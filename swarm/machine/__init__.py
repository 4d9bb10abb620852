"""How does a bare machine become a node? Drivers, provisioning over SSH, what is known of each machine."""
