"""Sources of access tokens: this process, this host, or the org, which is asked only once."""
