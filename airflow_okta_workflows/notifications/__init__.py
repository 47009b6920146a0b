"""Notifier that reports what became of a task, a DAG run or a deadline to a flow."""
