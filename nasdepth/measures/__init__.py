"""What is known of a network without training or building it."""
