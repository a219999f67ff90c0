"""A wrong value stops the start and says what to do."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svc.kernel import addresses
from svc.kernel.errors import StartError
from svc.kernel.settings import Settings, for_tests, load, table


def test_without_an_environment_the_whole_product_runs_on_this_machine():
    """Every default is a valid value."""
    assert load({}) == Settings()


def test_values_come_from_the_environment():
    """Each kind of them; other variables are nobody's business."""
    environment = {
        "STONECHAT_LISTEN": "http://0.0.0.0:9000",
        "STONECHAT_DATA_DIR": "/var/lib/stonechat",
        "STONECHAT_TRACE_RATIO": "0.5",
        "STONECHAT_PARTITIONS": "8",
        "STONECHAT_METRICS_LISTEN": "",
        "PATH": "/bin",
    }
    settings = load(environment)
    assert settings.listen_address() == ("0.0.0.0", 9000)
    assert (settings.data_dir, settings.run_dir()) == (Path("/var/lib/stonechat"), Path("/var/lib/stonechat/run"))
    assert (settings.trace_ratio, settings.partitions) == (0.5, 8)
    assert settings.metrics_address() is None


BACK_ENDS = {f"STONECHAT_{name}" for name in ("KAFKA", "CASSANDRA", "MYSQL", "REDIS", "ZOOKEEPER")}
WRONG = [
    ("STONECHAT_LISTEN", "127.0.0.1:8080", "http://host:port"),
    ("STONECHAT_LISTEN", "https://127.0.0.1:8080", "http://host:port"),
    ("STONECHAT_LISTEN", "http://127.0.0.1", "http://host:port"),
    ("STONECHAT_LISTEN", "http://127.0.0.1:eighty", "http://host:port"),
    ("STONECHAT_LISTEN", "http://127.0.0.1:65536", "http://host:port"),
    ("STONECHAT_LISTEN", "http://127.0.0.1:80/chat", "http://host:port"),
    ("STONECHAT_LISTEN", "http://[::1:80", "http://host:port"),
    ("STONECHAT_METRICS_LISTEN", "9464", "host:port"),
    ("STONECHAT_DATA_DIR", "", "a path"),
    ("STONECHAT_LOG_FORMAT", "xml", "one of auto, json, text"),
    ("STONECHAT_LOG_LEVEL", "debug", "one of DEBUG, INFO, WARNING, ERROR"),
    ("STONECHAT_PASSWORD_COST", "high", "one of normal, low"),
    ("STONECHAT_PARTITIONS", "many", "a whole number"),
    ("STONECHAT_PARTITIONS", "2.5", "a whole number"),
    ("STONECHAT_PARTITIONS", "0", "a whole number from 1 to 4096"),
    ("STONECHAT_PARTITIONS", "4097", "a whole number from 1 to 4096"),
    ("STONECHAT_HELLO_ADMISSION", "0", "a whole number of at least 1"),
    ("STONECHAT_TRACE_RATIO", "half", "a number"),
    ("STONECHAT_TRACE_RATIO", "1.1", "a number from 0 to 1"),
    ("STONECHAT_TRACE_RATIO", "nan", "a number from 0 to 1"),
]


@pytest.mark.parametrize(("variable", "value", "expected"), WRONG)
def test_a_wrong_value_is_named_with_what_was_expected(variable: str, value: str, expected: str):
    """Variable, value, expectation: all that is needed to correct it."""
    with pytest.raises(StartError) as caught:
        load({variable: value})
    assert caught.value.message == f"{variable}={value!r}: expected {expected}"


def test_a_misspelt_variable_is_not_ignored():
    """Somebody meant something by it."""
    with pytest.raises(StartError, match="STONECHAT_PARTITION is no setting"):
        load({"STONECHAT_PARTITION": "8"})


@given(st.sampled_from([row[0] for row in table()]), st.text(max_size=30))
def test_any_text_is_a_value_or_a_reason_not_to_start(variable: str, value: str):
    """Never another error, and never a setting that cannot be used."""
    try:
        settings = load({variable: value})
    except StartError as error:
        reason = error.message
    else:
        assert len(settings.listen_address()) == 2
        assert 0 <= settings.trace_ratio <= 1
        return
    told = "***" if variable == "STONECHAT_INNER_TOKEN" else value
    told = addresses.shown(value) if variable in BACK_ENDS else told
    assert reason.startswith(f"{variable}={told!r}: expected ")


def test_the_table_has_every_setting_once_with_a_text():
    """In the order of the tree; it is what people are shown."""
    rows = table()
    names = [name for name, _, _ in rows]
    assert names[:2] == ["STONECHAT_LISTEN", "STONECHAT_DATA_DIR"]
    assert len(set(names)) == len(names) == len(Settings.__dataclass_fields__)
    assert all(name.startswith("STONECHAT_") and doc for name, _, doc in rows)


def test_every_default_in_the_table_is_what_one_gets_by_setting_it():
    """The table tells no lies."""
    assert load({name: default for name, default, _ in table()}) == Settings()


def test_the_profile_for_tests_takes_no_port_of_the_machine(tmp_path: Path):
    """Two runs side by side do not disturb each other; overrides win."""
    settings = for_tests(tmp_path, partitions=3)
    assert settings.listen_address()[1] == 0
    assert settings.metrics_address() is None
    assert (settings.data_dir, settings.partitions, settings.password_cost) == (tmp_path, 3, "low")
