"""Who gets a certificate, and which role does a node have."""
