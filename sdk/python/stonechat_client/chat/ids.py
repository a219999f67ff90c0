"""What the ids of conversations say. Pure."""

SYSTEM = "system"


def direct(one: str, other: str) -> str:
    """The id of the direct conversation of two users."""
    lower, higher = sorted((one, other), key=lambda user_id: int(user_id[1:]))
    return f"d.{lower}.{higher}"


def other_user(conversation_id: str, user_id: str) -> str:
    """Who else is in a direct conversation; empty when it is none."""
    kind, *users = conversation_id.split(".")
    others = [user for user in users if user != user_id]
    return others[0] if kind == "d" and others else ""


def is_group(conversation_id: str) -> bool:
    """Whether it is a group."""
    return conversation_id.startswith("g")


def is_inbox(conversation_id: str) -> bool:
    """Whether it is a user's own, that nobody writes to."""
    return conversation_id.startswith("inbox.")


def address(conversation_id: str, user_id: str) -> str:
    """What a message to the conversation is sent to: the other user, or the group."""
    return other_user(conversation_id, user_id) or conversation_id


def addressed(to: str, user_id: str) -> str:
    """The conversation of what is sent to a user, a group or a direct conversation."""
    return direct(user_id, to) if to.startswith("u") else to
