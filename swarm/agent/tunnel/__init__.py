"""How packets of encrypted networks get from node to node, see decision 0045."""
