"""What a network is: operations, graphs, blocks, architectures and families."""
