"""What to train next: a surrogate of the study's own results leads its sampler."""
