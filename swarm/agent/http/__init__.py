"""The HTTP proxy of a node: an HAProxy that brings requests to tasks, wherever they run."""
