"""How does a cloud give us a machine, once, and how do we get rid of it? Through apache-libcloud."""
