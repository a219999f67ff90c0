"""What is remembered beside the cache: it comes back, only its owner can read it, and nothing depends on it."""

import json

import pytest

from stonechat_client.chat.known import Known


def test_what_is_remembered_comes_back(tmp_path):
    path = tmp_path / "folder" / "alice.json"
    known = Known(path)
    known.users["u1"], known.groups["g1"], known.read["g1"] = "bób", "Birds", 7
    known.save()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    again = Known(path)
    assert (again.users, again.groups, again.read) == ({"u1": "bób"}, {"g1": "Birds"}, {"g1": 7})
    assert [file.name for file in path.parent.iterdir()] == ["alice.json"]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"users": 1, "groups": {}, "read": {}}', "\x00"])
def test_a_damaged_file_counts_as_empty_and_is_replaced(tmp_path, text):
    path = tmp_path / "alice.json"
    path.write_text(text)
    known = Known(path)
    assert (known.users, known.groups, known.read) == ({}, {}, {})
    known.users["u1"] = "bob"
    known.save()
    assert Known(path).users == {"u1": "bob"}


def test_it_does_not_grow_without_end(tmp_path):
    path = tmp_path / "alice.json"
    known = Known(path)
    for number in range(10_050):
        known.users[f"u{number}"] = "bob"
    known.save()
    kept = json.loads(path.read_text())["users"]
    assert (len(kept), next(iter(kept))) == (10_000, "u50")


def test_without_a_file_nothing_is_kept():
    known = Known(None)
    known.users["u1"] = "bob"
    known.save()
    assert Known(None).users == {}
