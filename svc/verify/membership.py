"""Who is part of a conversation: replayed from its events, and compared with the users' lists of conversations (S11, S12)."""

from collections.abc import Mapping

from svc.kernel.ids import direct_members, inbox_user
from svc.kernel.record import Kind
from svc.verify.model import Member, StoredEvent
from svc.verify.verdict import Fault, Verdict


class Membership:
    """Takes the events of one conversation by seq. `members` are all that ever were in it, as they stand."""

    def __init__(self, conversation_id: str) -> None:
        self._name = conversation_id
        self.members: dict[str, Member] = {}

    def take(self, event: StoredEvent) -> None:
        """The next event."""
        if event.seq == 1:
            owner = inbox_user(self._name)
            own = direct_members(self._name) or ((owner,) if owner else ())
            self.members |= dict.fromkeys(own, Member(0, True, 1, event.time_us))
        if event.kind == Kind.MEMBERSHIP and event.body is not None:
            for member, users in ((True, event.body.joined), (False, event.body.left)):
                self.members |= dict.fromkeys(users, Member(event.version, member, event.seq, event.time_us))

    def check(self, verdict: Verdict, lists: Mapping[str, Member | None]) -> None:
        """What users' lists say must be what the events say, unless it is of later (None). An inbox stands in no list."""
        expected = {} if inbox_user(self._name) else self.members
        if expected == lists:
            return
        for user in sorted(expected.keys() | lists.keys()):
            one, other = expected.get(user), lists.get(user)
            if one == other or (user in lists and other is None):
                continue
            if one is not None and other is None:
                text = f"it is missing in the list of {user}"
            elif one is None or other is None:
                text = f"it stands in the list of {user}, who never was part of it"
            else:
                text = f"the list of {user} has {_text(other)}; by its events it is {_text(one)}"
            verdict.found(Fault.WRONG, self._name, one.seq if one else 0, text)


def _text(member: Member) -> str:
    return f"{'member' if member.member else 'no member'} since {member.seq}, version {member.version}"
