"""From architectures to torch modules."""
