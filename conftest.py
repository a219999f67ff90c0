"""Settings for the whole test run."""

from hypothesis import settings

# Machines under load are slow: an example has no deadline, a test has (pyproject.toml). The same examples every time.
settings.register_profile("stonechat", deadline=None, derandomize=True)
settings.load_profile("stonechat")
