"""Key custody: a token opens the vault, nothing else does, and no token reaches a vendor."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from abg.errors import ConfigError
from abg.keyring import Keyring
from abg.vault import Forbidden, Vault, read_keys

KEY = "sk-ant-real"


@pytest.fixture
def keyring(tmp_path: Path) -> Keyring:
    return Keyring(tmp_path / "tokens.json")


def test_a_token_is_exchanged_for_the_real_key(keyring):
    token, _ = keyring.new("task", Decimal(5))
    vault = Vault({"anthropic": KEY, "openai": "sk-real"}, keyring)
    for field in ((b"x-api-key", token.encode()), (b"Authorization", b"Bearer " + token.encode())):
        headers, grant = vault.open("anthropic", [(b"Accept", b"*/*"), field])
        assert grant is not None
        assert grant.session == "task"
        assert headers == [(b"Accept", b"*/*"), (b"x-api-key", KEY.encode())]
        headers, _ = vault.open("openai", [field])
        assert headers == [(b"Authorization", b"Bearer sk-real")]


@pytest.mark.parametrize(
    "field",
    [
        (b"x-api-key", b"sk-ant-own-key"),
        (b"Authorization", b"Bearer abg_0000000000000000_forged"),
        (b"Authorization", b"Basic abc"),
        (b"Accept", b"*/*"),
    ],
)
def test_nothing_else_opens_it(keyring, field):
    with pytest.raises(Forbidden) as caught:
        Vault({"anthropic": KEY}, keyring).open("anthropic", [field])
    assert field[1].decode() not in str(caught.value) or field[1] == b"*/*"
    assert KEY not in str(caught.value)


def test_without_custody_the_clients_key_passes_but_a_token_never_does(keyring):
    vault = Vault({}, keyring)
    headers = [(b"x-api-key", b"sk-ant-own-key")]
    assert vault.open("anthropic", headers) == (headers, None)
    token, _ = keyring.new("task", None)
    with pytest.raises(Forbidden):
        vault.open("anthropic", [(b"x-api-key", token.encode())])


@pytest.mark.parametrize(
    "shape",
    ["Bearer {}", "bearer  {}", "Bearer\t{}", "Token {}", "{}", '"{}"', "Bearer={}", "Bearer,{}"],
)
@pytest.mark.parametrize("name", [b"Authorization", b"X-Api-Key"])
def test_a_token_is_known_in_any_dress(keyring, name, shape):
    token, _ = keyring.new("task", None)
    field = (name, shape.format(token).encode())
    with pytest.raises(Forbidden) as caught:
        Vault({}, keyring).open("anthropic", [field])
    assert token not in str(caught.value)
    headers, grant = Vault({"anthropic": KEY}, keyring).open("anthropic", [field])
    assert grant is not None
    assert headers == [(b"x-api-key", KEY.encode())]


@pytest.mark.parametrize("key", [b"sk-abg_1", b"xabg_1", b"ABG_1", b"Bearer sk-ant-abg_2"])
def test_a_vendors_key_that_holds_these_letters_is_none(keyring, key):
    headers = [(b"Authorization", key)]
    assert Vault({}, keyring).open("anthropic", headers) == (headers, None)


def test_only_credentials_are_searched_for_tokens(keyring):
    headers = [(b"X-Request", b"abg_1"), (b"x-api-key", b"sk-ant-own-key")]
    assert Vault({}, keyring).open("anthropic", headers) == (headers, None)


def test_a_revoked_token_ends_at_once(keyring):
    token, grant = keyring.new("task", None)
    vault = Vault({"openai": "sk-real"}, keyring)
    vault.open("openai", [(b"authorization", b"bearer " + token.encode())])
    keyring.revoke(grant.id)
    with pytest.raises(Forbidden):
        vault.open("openai", [(b"authorization", b"bearer " + token.encode())])


def test_keys_come_from_the_environment_or_a_file(tmp_path):
    (tmp_path / "key").write_text("sk-file\n")
    found = read_keys(
        {"anthropic": "env:K", "openai": f"file:{tmp_path / 'key'}"}, {"K": "sk-ant-env"}
    )
    assert found == {"anthropic": "sk-ant-env", "openai": "sk-file"}


@pytest.mark.parametrize("source", ["env:MISSING", "file:/nonexistent/key", "sk-ant-secret", "x:y"])
def test_a_missing_key_is_an_error_without_the_key(source):
    with pytest.raises(ConfigError) as caught:
        read_keys({"anthropic": source}, {})
    assert "sk-ant-secret" not in str(caught.value)


def test_a_damaged_token_file_lets_nobody_pass(tmp_path):
    (tmp_path / "tokens.json").write_text("{")
    vault = Vault({"openai": "sk-real"}, Keyring(tmp_path / "tokens.json"))
    with pytest.raises(Forbidden, match="damaged"):
        vault.open("openai", [(b"authorization", b"Bearer abg_1_2")])
