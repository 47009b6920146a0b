"""The two drivers: they perform the steps that the core's conversations ask for, and decide nothing."""
