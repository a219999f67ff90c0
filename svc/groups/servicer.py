"""How groups are called."""

from stonechat.groups.v1 import group_service_pb2 as pb
from stonechat.groups.v1 import membership_service_pb2 as inner
from svc.groups import wire
from svc.groups.groups import Groups
from svc.groups.model import Role
from svc.kernel.calls import Call


class GroupServicer:
    """`stonechat.groups.v1.GroupService`."""

    def __init__(self, groups: Groups) -> None:
        self._groups = groups

    async def CreateGroup(self, request: pb.CreateGroupRequest, call: Call) -> pb.CreateGroupResponse:
        created = await self._groups.create(call.caller.user_id, wire.new_group(request))
        return pb.CreateGroupResponse(group_id=created.group.group_id, group=wire.group(created))

    async def GetGroup(self, request: pb.GetGroupRequest, call: Call) -> pb.GetGroupResponse:
        found = await self._groups.get(call.caller.user_id, wire.group_id(request.group_id))
        return pb.GetGroupResponse(group=wire.group(found))

    async def RenameGroup(self, request: pb.RenameGroupRequest, call: Call) -> pb.RenameGroupResponse:
        changed = await self._groups.rename(call.caller.user_id, wire.group_id(request.group_id), request.name)
        return pb.RenameGroupResponse(group=wire.group(changed))

    async def AddMembers(self, request: pb.AddMembersRequest, call: Call) -> pb.AddMembersResponse:
        group_id, user_ids = wire.group_id(request.group_id), wire.added(request)
        changed = await self._groups.add(call.caller.user_id, group_id, user_ids)
        return pb.AddMembersResponse(group=wire.group(changed))

    async def RemoveMember(self, request: pb.RemoveMemberRequest, call: Call) -> pb.RemoveMemberResponse:
        group_id, user_id = wire.group_id(request.group_id), wire.user_id(request.user_id)
        changed = await self._groups.remove(call.caller.user_id, group_id, user_id)
        return pb.RemoveMemberResponse(group=wire.group(changed))

    async def LeaveGroup(self, request: pb.LeaveGroupRequest, call: Call) -> pb.LeaveGroupResponse:
        await self._groups.leave(call.caller.user_id, wire.group_id(request.group_id))
        return pb.LeaveGroupResponse()

    async def SetRole(self, request: pb.SetRoleRequest, call: Call) -> pb.SetRoleResponse:
        group_id, user_id = wire.group_id(request.group_id), wire.user_id(request.user_id)
        changed = await self._groups.set_role(call.caller.user_id, group_id, user_id, Role(request.role))
        return pb.SetRoleResponse(group=wire.group(changed))

    async def ListMembers(self, request: pb.ListMembersRequest, call: Call) -> pb.ListMembersResponse:
        group_id, after = wire.group_id(request.group_id), wire.after(request)
        page, last = await self._groups.members(call.caller.user_id, group_id, after, wire.page_size(request))
        return pb.ListMembersResponse(members=map(wire.member, page), next_page_token=wire.page_token(group_id, last))


class MembershipServicer:
    """`stonechat.groups.v1.MembershipService`."""

    def __init__(self, groups: Groups) -> None:
        self._groups = groups

    async def CheckMember(self, request: inner.CheckMemberRequest, call: Call) -> inner.CheckMemberResponse:
        return inner.CheckMemberResponse(member=await self._groups.is_member(request.group_id, request.user_id))
