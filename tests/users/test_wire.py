"""Users on the wire, both ways."""

from hypothesis import given
from hypothesis import strategies as st

from stonechat.users.v1 import user_service_pb2 as pb
from svc.users import wire
from svc.users.model import Device, DevicePlace, TokenPair, User

TIMES = st.integers(0, 4_000_000_000_000_000)
IDS = st.integers(1, (1 << 63) - 1).map(lambda number: f"v{number}")


@given(TIMES, IDS)
def test_a_page_token_leads_back_to_its_place(created_us: int, device_id: str) -> None:
    """Within the size that the contract allows."""
    place = DevicePlace(created_us, device_id)
    token = wire.page_token(place)
    assert len(token) <= 128
    assert wire.before(pb.ListDevicesRequest(page_token=token)) == place


def test_no_token_is_the_first_page() -> None:
    """And the last page has none."""
    assert wire.before(pb.ListDevicesRequest()) is None
    assert wire.page_token(None) == ""
    assert wire.page_size(pb.ListDevicesRequest()) == 50
    assert wire.page_size(pb.ListDevicesRequest(page_size=7)) == 7


@given(TIMES, TIMES)
def test_times_keep_their_microseconds(created_us: int, refreshed_us: int) -> None:
    """In users and devices."""
    user = wire.user(User("u1", "alice", "Alice", created_us))
    assert user.create_time.ToMicroseconds() == created_us
    device = wire.device(Device("v1", "u1", "phone", created_us, refreshed_us), asking="v2")
    assert device.create_time.ToMicroseconds() == created_us
    assert device.refresh_time.ToMicroseconds() == refreshed_us
    assert not device.current


def test_a_pair_is_the_same_however_it_was_got() -> None:
    """Signing in and refreshing answer with the same fields."""
    pair = TokenPair("u1", "v1", "access", 900, "refresh")
    assert wire.signed_in(pair).SerializeToString() == wire.refreshed(pair).SerializeToString()


def test_secrets_do_not_print() -> None:
    """What is logged by mistake tells nothing."""
    assert "access" not in repr(TokenPair("u1", "v1", "access", 900, "sesame"))
