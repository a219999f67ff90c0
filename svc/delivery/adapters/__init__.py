"""Who serves delivery's ports."""
