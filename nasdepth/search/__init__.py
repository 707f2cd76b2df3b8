"""The search: configuration, space, training-free stage, storage and the run itself."""
