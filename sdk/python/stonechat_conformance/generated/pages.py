"""Every list that comes in pages: page by page it is what it is at once, without holes or doubles."""

from typing import Any

from stonechat.groups.v1 import group_service_pb2 as groups
from stonechat_conformance.case import Case
from stonechat_conformance.contract import METHODS, Method
from stonechat_conformance.expect import must, must_equal
from stonechat_conformance.generated.stage import Stage, stage
from stonechat_conformance.people import People
from stonechat_conformance.surfaces.table import lacking

_ENOUGH = 3  # entries, so that there is a page between the first and the last


def page_cases() -> list[Case]:
    """One for each rpc that has a page_token."""
    return [
        _case(method) for method in METHODS.values() if "page_token" in method.request_type.DESCRIPTOR.fields_by_name
    ]


def _case(method: Method) -> Case:
    (listed,) = [field.name for field in method.response_type.DESCRIPTOR.fields if field.is_repeated]

    async def check(people: People) -> None:
        scene = await people.server.once(("pages", people.name), lambda: _full(people))
        request = scene.good(method.request_type)
        whole = await scene.alice.call(request)
        entries = list(getattr(whole, listed))
        must_equal(whole.next_page_token, "", "a list that fits has no next page")
        must(len(entries) >= _ENOUGH, f"the suite has {_ENOUGH} {listed}: teach it in pages.py", len(entries))
        for size in (1, 2):
            found: list[Any] = []
            request = scene.good(method.request_type)
            request.page_size = size
            while len(found) <= len(entries):
                page = await scene.alice.call(request)
                must(len(getattr(page, listed)) <= size, f"a page of {size} is no longer", len(getattr(page, listed)))
                found += getattr(page, listed)
                request.page_token = page.next_page_token
                if not page.next_page_token:
                    break
            must_equal(found, entries, f"all pages of {size} are the whole list")

    promise = "Its pages, one after the other, are the whole list: nothing twice, nothing missing, in order."
    return Case(f"{method.name} in pages", promise, check, lacking(method), group="every list in pages")


async def _full(people: People) -> Stage:
    """Alice has three conversations and devices, and her group three members."""
    scene = await stage(people, "pages of")
    await scene.people.sign_in(scene.name)
    carol = await scene.people.sign_in(await scene.people.register())
    await scene.alice.send(carol.user_id, "hello")
    await scene.alice.call(groups.AddMembersRequest(group_id=scene.group_id, user_ids=[carol.user_id]))
    await scene.alice.until_event(scene.group_id, "membership", count=2)
    return scene
