"""What every service shares, one module a concern, each the only place for it."""
