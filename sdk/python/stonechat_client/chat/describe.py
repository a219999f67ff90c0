"""Changes of a group in words."""

from stonechat.groups.v1.membership_pb2 import MembershipChange, Role
from stonechat_client.chat.ids import SYSTEM
from stonechat_client.chat.names import Names
from stonechat_client.chat.text import one_row

_ROLES = {Role.ROLE_ADMIN: "an admin", Role.ROLE_OWNER: "the owner"}


def membership(change: MembershipChange, actor_id: str, names: Names) -> str:
    """What somebody has done, as a sentence without a full stop; empty when there is nothing to tell."""
    parts: list[str] = []
    joined = [member.user_id for member in change.joined if member.user_id != actor_id]
    removed = [user_id for user_id in change.left if user_id != actor_id]
    if change.version == 1:
        parts.append(f"created the group {one_row(change.name)}")
    elif change.name:
        parts.append(f"named the group {one_row(change.name)}")
    if joined:
        parts.append(f"added {names.people(joined)}")
    if actor_id in change.left:
        parts.append("left")
    if removed:
        parts.append(f"removed {names.people(removed)}")
    parts += [
        f"made {names.person(member.user_id)} {_ROLES.get(member.role, 'a member')}"
        for member in change.changed
        if member.user_id != actor_id
    ]
    if not parts:
        return ""
    return ", ".join(parts) if actor_id == SYSTEM else f"{names.person(actor_id)} {', '.join(parts)}"
