"""Ten machines with systemd become a cluster, live through reboots and an upgrade, and are gone again."""
