"""Whatever is asked of a group, in whatever order: the rules, the tables and the records say the same."""

from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from svc.groups.model import Group, Membership, NewGroup, Role
from svc.kernel.errors import GroupFull, InvalidField, NotFound, PermissionDenied, StonechatError
from tests.groups.world import NOW_US, World, open_world, replay

MAX_MEMBERS = 4
PEOPLE = st.sampled_from(["u1", "u2", "u3", "u4", "u5", "u6"])
STEPS = st.one_of(
    st.tuples(st.just("rename"), PEOPLE, st.sampled_from(["A", "B"])),
    st.tuples(st.just("add"), PEOPLE, st.lists(PEOPLE, min_size=1, max_size=3, unique=True)),
    st.tuples(st.just("remove"), PEOPLE, PEOPLE),
    st.tuples(st.just("leave"), PEOPLE),
    st.tuples(st.just("set_role"), PEOPLE, PEOPLE, st.sampled_from(Role)),
)


@dataclass
class Model:
    """A group as a list of (user, role) in the order of joining."""

    name: str
    roles: dict[str, Role]
    version: int = 1
    joined: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.joined = dict.fromkeys(self.roles, 1)

    def step(self, what: str, caller: str, *arguments: object) -> type[StonechatError] | None:
        """Do it, or say how it fails."""
        if what == "remove" and arguments == (caller,):
            return InvalidField
        if caller not in self.roles:
            return NotFound
        before = (self.name, dict(self.roles))
        failure: type[StonechatError] | None = getattr(self, what)(caller, *arguments)
        assert failure is None or before == (self.name, self.roles)
        self.version += before != (self.name, self.roles)
        for user_id in self.roles.keys() - before[1].keys():
            self.joined[user_id] = self.version
        return failure

    def rename(self, caller: str, name: str) -> type[StonechatError] | None:
        if self.roles[caller] < Role.ADMIN:
            return PermissionDenied
        self.name = name
        return None

    def add(self, caller: str, user_ids: list[str]) -> type[StonechatError] | None:
        if self.roles[caller] < Role.ADMIN:
            return PermissionDenied
        if len(self.roles.keys() | set(user_ids)) > MAX_MEMBERS:
            return GroupFull
        self.roles = dict.fromkeys(user_ids, Role.MEMBER) | self.roles
        return None

    def remove(self, caller: str, user_id: str) -> type[StonechatError] | None:
        own, other = self.roles[caller], self.roles.get(user_id)
        if own < Role.ADMIN or (other is not None and other >= own):
            return PermissionDenied
        self.roles.pop(user_id, None)
        return None

    def leave(self, caller: str) -> type[StonechatError] | None:
        own = self.roles.pop(caller)
        if own is Role.OWNER and self.roles:
            heir = min(self.roles, key=lambda user: (-self.roles[user], self.joined[user], user))
            self.roles[heir] = Role.OWNER
        return None

    def set_role(self, caller: str, user_id: str, role: Role) -> type[StonechatError] | None:
        own, other = self.roles[caller], self.roles.get(user_id)
        if own is Role.ADMIN and role is other is Role.OWNER:
            return None
        if own is not Role.OWNER:
            return PermissionDenied
        if other is None:
            return NotFound
        if user_id == caller:
            return None if role is Role.OWNER else InvalidField
        if role is Role.OWNER:
            self.roles[caller] = Role.ADMIN
        self.roles[user_id] = role
        return None


async def do(world: World, group_id: str, what: str, caller: str, *arguments: object) -> type[StonechatError] | None:
    """Do it for real, and say how it failed."""
    try:
        await getattr(world.groups, what)(caller, group_id, *arguments)
    except StonechatError as error:
        return type(error)
    return None


@pytest.fixture
async def small_world(tmp_path, mysql):
    async with open_world(tmp_path, max_members=MAX_MEMBERS, mysql=mysql) as opened:
        yield opened


# One world for all examples: each makes a group of its own in it.
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, max_size=25))
async def test_rules_tables_and_records_agree(small_world: World, steps: list[tuple[str, ...]]) -> None:
    """Each step ends as the model says; then one owner while there are members, versions without holes, and the records
    in their order make exactly the members table."""
    created = await small_world.groups.create("u1", NewGroup("A", ("u2", "u3"), ""))
    group_id = created.group.group_id
    model = Model("A", {"u1": Role.OWNER, "u2": Role.MEMBER, "u3": Role.MEMBER})
    for step in steps:
        assert await do(small_world, group_id, *step) is model.step(*step)
        assert await small_world.table(group_id) == model.roles
        assert list(model.roles.values()).count(Role.OWNER) == bool(model.roles)
    records = await small_world.records(group_id)
    assert [record.version for record in records] == list(range(1, model.version + 1))
    assert replay(records) == model.roles
    for user_id, role in model.roles.items():
        expected = Group(group_id, model.name, len(model.roles), model.version, NOW_US)
        assert await small_world.groups.get(user_id, group_id) == Membership(expected, role)
