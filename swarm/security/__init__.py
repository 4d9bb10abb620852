"""Who is calling and may they: tokens, certificates, identity, the authorisation table, TLS."""
