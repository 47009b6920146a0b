"""DAG files that the row ``parse`` parses; none of them runs."""
