"""Rows of trained networks from anywhere: studies, CSV files, published tables."""
