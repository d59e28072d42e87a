"""``abg token``: shown once, listed without its secret, ended at once."""

from __future__ import annotations

import json
from datetime import datetime, timezone

import pytest

from abg.cli import main
from abg.cli.token import keyring
from abg.test.standin import own_places


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    own_places(monkeypatch, tmp_path)
    return tmp_path


def new(capsys, *words):
    assert main(["token", "new", "--session", "s", *words]) == 0
    out, err = capsys.readouterr()
    return out.strip(), err


def test_a_new_token_is_all_of_stdout(capsys):
    token, err = new(capsys, "--budget", "5", "--for", "8h")
    grant = keyring().find(token)
    assert (grant.session, grant.budget_usd) == ("s", 5)
    assert (grant.expires - datetime.now(timezone.utc)).total_seconds() == pytest.approx(28800, 100)
    assert f"abg token revoke {grant.id}" in err and token not in err


def test_the_list_has_no_secrets(capsys):
    token, _ = new(capsys)
    assert main(["token", "list"]) == 0
    out = capsys.readouterr().out
    assert token.rpartition("_")[2] not in out
    assert out.splitlines()[1].split()[1:3] == ["s", "configured"]
    assert main(["token", "list", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["live"] is True and "sha256" not in row


def test_without_tokens_the_list_says_how_to_make_one(capsys):
    assert main(["token", "list"]) == 0
    assert "abg token new" in capsys.readouterr().out


def test_a_revoked_token_is_worth_nothing(capsys):
    token, _ = new(capsys)
    id = token.split("_")[1]
    assert main(["token", "revoke", id]) == 0
    assert keyring().find(token) is None
    assert main(["token", "revoke", id]) == 1
    assert "has ended already" in capsys.readouterr().err
    assert main(["token", "revoke", "nonsense"]) == 1
