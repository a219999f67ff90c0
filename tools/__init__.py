"""What the Makefile runs: generation from the contracts and checks on them. Never imported by the product."""
