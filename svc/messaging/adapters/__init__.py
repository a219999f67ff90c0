"""Who serves messaging's ports."""
