"""The life of a node in a cluster: init, join, leave, promotion, demotion, renewal."""
