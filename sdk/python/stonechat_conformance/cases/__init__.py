"""The cases that people wrote, by what they are about."""
