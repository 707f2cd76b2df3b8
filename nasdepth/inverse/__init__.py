"""The smallest network that keeps a measure of a known one."""
