"""Interoperation with OAuth clients, servers and JOSE libraries that nobody here wrote; in `make test` only."""
