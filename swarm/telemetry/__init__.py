"""What a running node tells: logs, metrics, health."""
