"""Turns for invoking a flow: one pace for all who invoke it, in this process or on this host."""
