"""Where access tokens come from: this process, this host, or the org; asked for once in any case."""
