"""DAG files that are parsed by the row ``parse``; none of them runs."""
