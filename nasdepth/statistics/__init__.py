"""Estimates and tests on plain vectors, and what is known of their levels."""
