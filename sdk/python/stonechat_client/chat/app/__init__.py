"""`stonechat chat` on a terminal: widgets (textual) over `stonechat_client.chat.chat.Chat`, which knows nothing of them.

Whatever comes from others is shown as `textual.content.Content`, never as markup, after `text.clean` took out what would
steer a terminal.
"""
