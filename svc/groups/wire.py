"""Groups on the wire: requests → model, model → responses and records. Pure.

The contract's own rules are checked before a request gets here; what is left are ids that a pattern cannot tell
(numbers below 2^63) and page tokens.
"""

import base64
import binascii

from google.protobuf.timestamp_pb2 import Timestamp

from stonechat.groups.v1 import group_service_pb2, membership_pb2
from svc.groups.model import Change, Member, Membership, NewGroup, Role
from svc.kernel.errors import InvalidField
from svc.kernel.ids import is_group_id, is_user_id
from svc.kernel.record import Kind, Record

_DEFAULT_PAGE_SIZE = 100
_TOKEN = "members"  # noqa: S105 - says what the token is for


def group_id(text: str) -> str:
    """The `group_id` of a request."""
    if not is_group_id(text):
        raise InvalidField("group_id", "must be a group id: `g` and a number below 2^63")
    return text


def user_id(text: str, field: str = "user_id") -> str:
    """A user id of a request, in the field named."""
    if not is_user_id(text):
        raise InvalidField(field, "must be a user id: `u` and a number below 2^63")
    return text


def new_group(request: group_service_pb2.CreateGroupRequest) -> NewGroup:
    """What a CreateGroupRequest asks for."""
    members = tuple(user_id(member, "member_ids") for member in request.member_ids)
    return NewGroup(request.name, members, request.client_request_id)


def added(request: group_service_pb2.AddMembersRequest) -> tuple[str, ...]:
    """Whom an AddMembersRequest adds."""
    return tuple(user_id(user, "user_ids") for user in request.user_ids)


def page_size(request: group_service_pb2.ListMembersRequest) -> int:
    """How many members a page has at most."""
    return request.page_size or _DEFAULT_PAGE_SIZE


def page_token(of_group: str, behind: str) -> str:
    """The token of the page behind the user `behind`; empty for none: the page was the last."""
    if not behind:
        return ""
    return base64.urlsafe_b64encode(f"{_TOKEN}.{of_group}.{behind}".encode()).decode().rstrip("=")


def after(request: group_service_pb2.ListMembersRequest) -> str:
    """Behind which user the page starts; empty for the first page.

    A token is taken only in the one spelling that `page_token` gave it, for the group it was given for.
    """
    token = request.page_token
    if not token:
        return ""
    try:
        text = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
    except (binascii.Error, ValueError):
        text = ""
    last = text.rpartition(".")[2]
    if not is_user_id(last) or page_token(request.group_id, last) != token:
        raise InvalidField("page_token", "must be the next_page_token of a page of this group's members")
    return last


def group(membership: Membership) -> group_service_pb2.Group:
    """The group as the member sees it."""
    created = Timestamp()
    created.FromMicroseconds(membership.group.created_us)
    return group_service_pb2.Group(
        group_id=membership.group.group_id,
        name=membership.group.name,
        member_count=membership.group.member_count,
        version=membership.group.version,
        role=_ROLES[membership.role],
        create_time=created,
    )


def member(one: Member) -> membership_pb2.Member:
    """A member."""
    return membership_pb2.Member(user_id=one.user_id, role=_ROLES[one.role])


def record(change: Change, record_id: int) -> Record:
    """What asks the owner of the conversation to number a change.

    Its key comes from the version, so that a repeat is known as one; no client can choose a key with `~`.
    """
    body = membership_pb2.MembershipChange(
        version=change.version,
        joined=map(member, change.joined),
        left=change.left,
        changed=map(member, change.changed),
        name=change.name,
    )
    return Record(
        Kind.MEMBERSHIP,
        conversation_id=change.group_id,
        sender_id=change.actor_id,
        client_message_id=f"~membership.{change.version}",
        record_id=record_id,
        body=body.SerializeToString(),
        version=change.version,
        joined=tuple(one.user_id for one in change.joined),
        left=change.left,
    )


_ROLES = {
    Role.MEMBER: membership_pb2.ROLE_MEMBER,
    Role.ADMIN: membership_pb2.ROLE_ADMIN,
    Role.OWNER: membership_pb2.ROLE_OWNER,
}
