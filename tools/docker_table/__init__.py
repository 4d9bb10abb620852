"""Makes docs/docker.md: what became of each command and flag of Docker that operators of a Swarm use."""
