"""HTTP: requests, responses, proxies."""
