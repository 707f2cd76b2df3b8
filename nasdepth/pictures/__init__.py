"""Networks and the laws of their paths, drawn."""
