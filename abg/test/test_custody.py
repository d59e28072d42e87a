"""Tokens that stand for keys: nothing forged passes, and nothing secret is kept."""

from __future__ import annotations

import os
import stat
import threading
from datetime import datetime, timedelta, timezone
from decimal import Decimal

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from abg.attribution import safe_name
from abg.custody import Grants, decode, encode, is_token, mint
from abg.errors import AbgError
from abg.keyring import Keyring

NOW = datetime(2026, 11, 25, 12, tzinfo=timezone.utc)
RANDOM = bytes(range(40))


def made(**more):
    token, grant = mint(RANDOM, "s", Decimal("5.00"), NOW)
    return token, evolve(grant, **more)


def test_its_session_is_written_as_everywhere():
    # Else nothing that names the session would have meant the same.
    _, grant = mint(RANDOM, "x\nforged \u202e", None, NOW)
    assert grant.session == safe_name("x\nforged \u202e")
    row = encode(Grants((evolve(grant, session="x\ny"),)))
    assert decode(row).all[0].session == safe_name("x\ny")


def test_a_session_without_a_name_gets_none():
    # It went into the file, which nobody could read after that.
    with pytest.raises(AbgError, match="name"):
        mint(RANDOM, "", None, NOW)


def test_a_token_is_found_and_says_whose_it_is():
    token, grant = made()
    assert token.startswith("abg_0001020304050607_") and len(token) == 4 + 16 + 1 + 43
    assert Grants((grant,)).find(token, NOW) == grant


def test_neither_the_grant_nor_the_file_has_the_secret():
    token, grant = made()
    secret = token.rpartition("_")[2]
    assert secret not in repr(grant)
    assert secret.encode() not in encode(Grants((grant,)))


@settings(deadline=None)
@given(st.text(max_size=80))
def test_no_other_text_is_a_token(text):
    token, grant = made()
    assert Grants((grant,)).find(text, NOW) is None or text == token


@pytest.mark.parametrize("change", [lambda t: t[:-1], lambda t: t + "A", lambda t: t[:-1] + "!"])
def test_a_token_that_is_nearly_right_is_wrong(change):
    token, grant = made()
    assert Grants((grant,)).find(change(token), NOW) is None


def test_a_token_ends_by_time_and_by_revocation():
    token, grant = made(expires=NOW + timedelta(hours=1))
    grants = Grants((grant,))
    assert grants.find(token, NOW + timedelta(minutes=59)) == grant
    assert grants.find(token, NOW + timedelta(hours=1)) is None
    assert grants.revoke(grant.id, NOW).find(token, NOW) is None


def test_only_live_tokens_can_be_revoked():
    _, grant = made()
    with pytest.raises(AbgError, match="there is no token"):
        Grants((grant,)).revoke("x", NOW)
    ended = Grants((grant,)).revoke(grant.id, NOW)
    with pytest.raises(AbgError, match="ended already"):
        ended.revoke(grant.id, NOW)


def test_revoking_one_leaves_the_others():
    _, grant = made()
    other = evolve(grant, id="other")
    assert Grants((grant, other)).revoke(grant.id, NOW).all[1] == other


def test_tokens_that_ended_long_ago_are_forgotten():
    _, live = made()
    ended = evolve(live, id="b", revoked=NOW, expires=NOW + timedelta(days=1))
    grants = Grants((live, ended))
    new = evolve(live, id="c")
    assert [g.id for g in grants.add(new, NOW + timedelta(days=29)).all] == [live.id, "b", "c"]
    assert [g.id for g in grants.add(new, NOW + timedelta(days=31)).all] == [live.id, "c"]


def test_the_file_reads_back_as_it_was_written():
    _, grant = made()
    rest = evolve(grant, id="b", budget_usd=None, expires=NOW, revoked=NOW)
    grants = Grants((grant, rest))
    assert decode(encode(grants)) == grants
    assert decode(encode(Grants())) == Grants()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b'{"version": 1}',
        b'{"version": 1, "tokens": [{}]}',
        b'{"version": 1, "tokens": [5]}',
        b'{"version": 1, "tokens": [{"id": "", "sha256": "x", "session": "s", "created": "x"}]}',
        encode(Grants((made()[1],))).replace(b'"5"', b'"NaN"'),
        encode(Grants((made()[1],))).replace(b"+00:00", b""),
    ],
)
def test_a_damaged_file_lets_nothing_pass(content):
    with pytest.raises(AbgError, match="damaged"):
        decode(content)


def test_a_file_of_a_later_version_is_not_guessed_at():
    with pytest.raises(AbgError, match="version 2"):
        decode(b'{"version": 2, "tokens": []}')


def test_too_little_randomness_is_refused():
    with pytest.raises(ValueError, match="40"):
        mint(b"x", "s", None, NOW)


def test_only_abgs_own_credentials_are_claimed():
    assert is_token("abg_x") and not is_token("sk-ant-x") and not is_token("")


@pytest.fixture
def ring(tmp_path):
    return Keyring(tmp_path / "deep" / "tokens.json")


def test_a_keyring_without_a_file_has_no_tokens(ring):
    assert ring.find("abg_x_y") is None


def test_another_process_sees_a_new_token_and_its_end_at_once(ring):
    reader = Keyring(ring._path)
    token, grant = ring.new("s", Decimal(5))
    assert reader.find(token) == grant
    ring.revoke(grant.id)
    assert reader.find(token) is None


def test_the_file_is_for_its_owner_only(ring):
    ring.new("s", None)
    assert stat.S_IMODE(os.stat(ring._path).st_mode) == 0o600


def test_an_unchanged_file_is_not_read_again(ring):
    ring.new("s", None)
    assert ring.grants() is ring.grants()


def test_a_damaged_keyring_names_its_file(ring):
    ring.new("s", None)
    ring._path.write_bytes(b"{")
    with pytest.raises(AbgError, match=r"damaged.*tokens\.json"):
        ring.find("abg_x_y")


def test_many_writers_at_once_lose_no_token(ring):
    tokens = []

    def work():
        for _ in range(5):
            tokens.append(Keyring(ring._path).new("s", None)[0])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(tokens) == 20
    assert all(ring.find(t) for t in tokens)


def test_a_folder_that_cannot_be_written_is_said_plainly(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(AbgError, match="tokens cannot be written"):
        Keyring(tmp_path / "file" / "tokens.json").new("s", None)


def test_a_file_that_cannot_be_read_is_said_plainly(tmp_path):
    (tmp_path / "tokens.json").mkdir()
    with pytest.raises(AbgError, match="tokens cannot be"):
        Keyring(tmp_path / "tokens.json").find("abg_x_y")
    (tmp_path / "file").write_text("")
    with pytest.raises(AbgError, match="tokens cannot be read"):
        Keyring(tmp_path / "file" / "tokens.json").find("abg_x_y")
