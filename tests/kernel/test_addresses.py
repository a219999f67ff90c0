"""URLs of back ends."""

import pytest

from svc.kernel import addresses
from svc.kernel.addresses import CASSANDRA, KAFKA, MYSQL, ZOOKEEPER, parse, shown
from svc.kernel.errors import StartError
from svc.kernel.settings import Settings


def test_everything_a_url_may_say():
    address = parse(CASSANDRA, "cassandra://ann:p%40ss@one:1,two,[::1]:3/space?dc=west&tls=on")
    assert address.hosts == (("one", 1), ("two", 9042), ("::1", 3))
    assert (address.user, address.password, address.name) == ("ann", "p@ss", "space")
    assert (address.option("dc", ""), address.option("replication", "3")) == ("west", "3")
    assert address.tls() is not None


def test_what_is_not_said_has_a_default():
    address = parse(ZOOKEEPER, "zookeeper://127.0.0.1")
    assert (address.host_ports(), address.name, address.tls()) == (["127.0.0.1:2181"], "stonechat", None)
    assert parse(KAFKA, "kafka://[::1]").hosts == (("::1", 9092),)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("redis://host", "must begin with kafka://"),
        ("kafka://", "must name hosts"),
        ("kafka://host:99999", "must name hosts"),
        ("kafka://a,,b", "must name hosts"),
        ("kafka://host?acks=1", "has no option acks"),
        ("kafka://host?tls=yes", "tls must be on or off"),
        ("kafka://:secret@host", "a user must stand before the @"),
    ],
)
def test_a_wrong_url_says_what_is_wrong(url: str, says: str):
    with pytest.raises(ValueError, match=says):
        parse(KAFKA, url)


def test_a_password_is_never_shown(tmp_path):
    url = "mysql://ann:s3cret@host/db"
    assert shown(url) == "mysql://ann:***@host/db"
    assert "s3cret" not in repr(parse(MYSQL, url))
    settings = Settings(mysql=url, inner_token="t" * 40, data_dir=tmp_path)
    assert "s3cret" not in repr(settings)
    assert "tttt" not in repr(settings)
    with pytest.raises(StartError) as refused:
        Settings(mysql="mysql://ann:s3cret@host:x/db")
    assert "STONECHAT_MYSQL='mysql://ann:***@host:x/db': expected" in str(refused.value)
    assert "s3cret" not in str(refused.value)


def test_every_back_end_has_a_setting():
    schemes = {value.name for value in vars(addresses).values() if isinstance(value, addresses.Scheme)}
    assert schemes <= set(Settings.__slots__)
