"""Probes of a real org that compare it with the numbered rules of the local org; for ``okta-workflows conformance``."""
