"""What a process may serve, by what is set."""

from pathlib import Path

import pytest

from svc.kernel.errors import StartError
from svc.kernel.settings import Settings
from svc.roles import ROLES, chosen

KAFKA, CASSANDRA, MYSQL = "kafka://host", "cassandra://host", "mysql://host"
TOKEN = "t" * 32
SHARED = {"kafka": KAFKA, "cassandra": CASSANDRA, "mysql": MYSQL, "zookeeper": "zookeeper://host", "inner_token": TOKEN}


def settings(**given: str) -> Settings:
    return Settings(data_dir=Path("none"), **given)


@pytest.mark.parametrize("given", [{}, {"kafka": KAFKA}, {"cassandra": CASSANDRA, "mysql": MYSQL}, SHARED])
def test_one_process_may_serve_everything_on_any_mix(given: dict[str, str]):
    """Addresses alone choose."""
    assert chosen([], settings(**given)) == frozenset(ROLES)


@pytest.mark.parametrize("role", ROLES)
def test_each_service_may_have_a_process_of_its_own(role: str):
    """With what all of them share."""
    assert chosen([role], settings(**SHARED)) == {role}


@pytest.mark.parametrize(
    ("roles", "without", "says"),
    [
        (["massaging"], "", "there is no service massaging: there are messaging, delivery"),
        (["messaging"], "zookeeper", "set STONECHAT_ZOOKEEPER, or serve everything"),
        (["delivery"], "kafka", "what delivery keep: set STONECHAT_KAFKA"),
        (["history"], "cassandra", "set STONECHAT_CASSANDRA"),
        (["users", "groups"], "mysql", "what groups, users keep: set STONECHAT_MYSQL"),
        ([], "kafka", "set STONECHAT_KAFKA"),
        (["edge"], "inner_token", "STONECHAT_INNER_TOKEN"),
    ],
)
def test_what_is_missing_is_named(roles: list[str], without: str, says: str):
    """And what to do."""
    given = {name: value for name, value in SHARED.items() if name != without}
    with pytest.raises(StartError) as refused:
        chosen(roles, settings(**given))
    assert says in refused.value.message


def test_what_a_service_does_not_keep_need_not_be_set():
    """The edge needs none of them, history no log."""
    assert chosen(["edge"], settings(zookeeper="zookeeper://host", inner_token=TOKEN))
    assert chosen(["history"], settings(zookeeper="zookeeper://host", inner_token=TOKEN, cassandra=CASSANDRA))
