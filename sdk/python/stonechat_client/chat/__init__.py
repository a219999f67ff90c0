"""What `stonechat chat` understands and shows: a plain client for people, to see Stonechat work."""
