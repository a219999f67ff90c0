"""Stonechat's services. `svc.app` composes them into one process; `svc.__main__` is the command."""
