"""Neural architecture search that measures topology before it trains."""

__version__ = "0.1.0"
