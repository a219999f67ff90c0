"""The client library of Stonechat: what the command, the tests and other people's programs use."""
