"""Turns for invoking a flow: one pace for all callers in this process, on this host, or on all hosts."""
