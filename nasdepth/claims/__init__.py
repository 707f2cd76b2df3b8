"""The claims as named tests with verdicts by rules fixed beforehand."""
