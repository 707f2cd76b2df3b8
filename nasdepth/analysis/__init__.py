"""What trained networks say about the measures: records, regression, figures."""
