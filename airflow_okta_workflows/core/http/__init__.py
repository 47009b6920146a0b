"""HTTP: requests, responses and proxies."""
