"""Outputs: one file for each thing that a rule can switch."""
