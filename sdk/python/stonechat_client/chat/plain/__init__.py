"""`stonechat chat --plain`: lines in, one JSON object a line out, so that scripts can chat. plain.md says which."""
