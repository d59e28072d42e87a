"""Model names: every spelling that means a row, and none that merely looks like one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abg.names import bare, family_of, find, words_of
from abg.pricing import PriceTable

TABLE = PriceTable.builtin()
KNOWN = {
    "claude-opus-4-1": "claude-opus-4-1",
    "claude-opus-4-1-20250805": "claude-opus-4-1",
    "claude-opus-5-5": "claude-opus-5-5",
    "claude-3-5-haiku": "claude-3-5-haiku",
    "claude-haiku-4-5": "claude-haiku-4-5",
    "claude-sonnet-4": "claude-sonnet-4-0",
    "chat-latest": "chat-latest",
    "gpt-4o": "gpt-4o",
    "gpt-4o-2024-05-13": "gpt-4o-2024-05-13",
    "gpt-4": "gpt-4",
    "o3": "o3",
    "ft:gpt-4o-2024-08-06": "ft:gpt-4o-2024-08-06",
    "text-embedding-ada-002-v2": "text-embedding-ada-002",
    "gpt-oss-120b": "gpt-oss-120b",
}


@pytest.mark.parametrize(
    ("written", "name", "how"),
    [
        ("gpt-4o", "gpt-4o", "name"),
        ("claude-sonnet-4", "claude-sonnet-4-0", "alias"),
        ("claude-opus-4-1-20250805", "claude-opus-4-1", "alias"),
        ("GPT-4o", "gpt-4o", "spelling"),
        ("  gpt-4o ", "gpt-4o", "spelling"),
        ("claude-opus-5-5[1m]", "claude-opus-5-5", "spelling"),
        ("claude-opus-5-5 [1M]", "claude-opus-5-5", "spelling"),
        ("anthropic/claude-opus-5-5", "claude-opus-5-5", "spelling"),
        ("openrouter/anthropic/claude-opus-5.5", "claude-opus-5-5", "spelling"),
        ("anthropic/claude-opus-4.1:thinking", "claude-opus-4-1", "spelling"),
        ("anthropic/claude-3.5-haiku:beta", "claude-3-5-haiku", "spelling"),
        ("azure/eu/gpt-4o-2024-05-13", "gpt-4o-2024-05-13", "spelling"),
        ("publishers/anthropic/models/claude-opus-5-5", "claude-opus-5-5", "spelling"),
        ("anthropic.claude-opus-4-1-20250805-v1:0", "claude-opus-4-1", "spelling"),
        ("us.anthropic.claude-opus-4-1-20250805-v1:0", "claude-opus-4-1", "spelling"),
        ("eu.anthropic.claude-opus-4-1-20250805-v1", "claude-opus-4-1", "spelling"),
        ("us-gov.anthropic.claude-opus-5-5-v1:0:200k", "claude-opus-5-5", "spelling"),
        ("global.anthropic.claude-opus-5-5-v1:0", "claude-opus-5-5", "spelling"),
        ("apac.anthropic.claude-opus-5-5-v1:0[1m]", "claude-opus-5-5", "spelling"),
        ("openai.gpt-oss-120b-1:0", "gpt-oss-120b", "spelling"),
        (
            "arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-opus-5-5-v1:0",
            "claude-opus-5-5",
            "spelling",
        ),
        ("claude-opus-4-1@20250805", "claude-opus-4-1", "spelling"),
        ("claude-opus-4-1@20991231", "claude-opus-4-1", "snapshot"),
        ("claude-opus-5-5@default", "claude-opus-5-5", "spelling"),
        ("claude-haiku-3-5", "claude-3-5-haiku", "spelling"),
        ("claude-haiku-3-5-latest", "claude-3-5-haiku", "latest"),
        ("claude-4-1-opus-20250805", "claude-opus-4-1", "spelling"),
        ("claude-4-5-haiku", "claude-haiku-4-5", "spelling"),
        ("chat-latest", "chat-latest", "name"),
        ("gpt-4o-latest", "gpt-4o", "latest"),
        ("gpt-4o-2030-01-01", "gpt-4o", "snapshot"),
        ("gpt-4-0314", "gpt-4", "snapshot"),
        ("o3-0416", "o3", "snapshot"),
        ("claude-opus-5-5-20270101", "claude-opus-5-5", "snapshot"),
        ("ft:gpt-4o-2024-08-06:acme::8abc", "ft:gpt-4o-2024-08-06", "spelling"),
        ("FT:gpt-4o-2024-08-06:acme:x:8abc:ckpt-step-90", "ft:gpt-4o-2024-08-06", "spelling"),
        ("text-embedding-ada-002-v2", "text-embedding-ada-002", "alias"),
    ],
)
def test_spelling(written: str, name: str, how: str) -> None:
    found = find(written, KNOWN)
    assert found is not None
    assert (found.name, found.how) == (name, how)


@pytest.mark.parametrize(
    "written",
    [
        "",
        "/",
        "anthropic.",
        "-latest",
        "@20250805",
        "gpt-4o-mini",
        "gpt-4o-mini-2024-07-18",
        "claude-opus-4-10",
        "claude-opus-4",
        "claude-opus-5",
        "claude-opus-5-56",
        "my-gpt-4o",
        "gpt-4o-1399",
        "gpt-4o-0001",
        "claude-opus-5-5-0101",
        "gpt-4o2024-05-13",
        "claude-opus-4-1-v",
        "ft:gpt-4o",
        "ft:gpt-4o:acme::8abc",
        "ft:gpt-4o-2030-01-01:acme",
        "o3-",
        "o33",
        "arn:aws:bedrock:us-east-1:1:application-inference-profile/abc123",
    ],
)
def test_what_merely_fits_is_not_the_model(written: str) -> None:
    assert find(written, KNOWN) is None


@pytest.mark.parametrize("model", TABLE.models.values(), ids=lambda m: m.name)
def test_each_name_of_the_table_means_its_own_row_in_every_wrapping(model: object) -> None:
    name, vendor = model.name, model.vendor  # type: ignore[attr-defined]
    wrapped = [name, name.upper(), f"{vendor}/{name}", f"openrouter/{vendor}/{name}"]
    if not name.startswith("ft:"):
        wrapped += [f"{name}[1m]", f"us.{vendor}.{name}-v1:0" if vendor == "anthropic" else name]
    for written in wrapped:
        match = TABLE.resolve(vendor, written)
        assert (match.name, match.price) == (name, "table"), written


@given(st.text(max_size=60))
def test_any_text_has_an_end(written: str) -> None:
    find(written, KNOWN)
    family_of(bare(written), {name: words_of(name) for name in KNOWN})


@pytest.mark.parametrize(
    ("written", "barest"),
    [
        ("us.anthropic.claude-opus-9.1-20270101-v1:0", "claude-opus-9-1-20270101"),
        ("OpenAI/GPT-9", "gpt-9"),
        ("gpt-9-latest", "gpt-9-latest"),
        ("claude-x-9@20270101", "claude-x-9-20270101"),
        ("ft:gpt-9:acme:a:b", "ft:gpt-9"),
        (" ", ""),
    ],
)
def test_barest_form(written: str, barest: str) -> None:
    assert bare(written) == barest


@pytest.mark.parametrize(
    ("vendor", "model", "stem", "dearest"),
    [
        ("anthropic", "claude-opus-9", "claude-opus", "claude-opus-4-0"),
        ("anthropic", "claude-opus-4-10", "claude-opus-4", "claude-opus-4-0"),
        ("anthropic", "claude-opus-5-7", "claude-opus-5", "claude-opus-5"),
        ("anthropic", "claude-haiku-7", "claude-haiku", "claude-haiku-4-5"),
        ("anthropic", "claude-nova-1", "claude", "claude-3-opus"),
        ("anthropic", "nova-1", "", "claude-3-opus"),
        ("openai", "gpt-6.1-nova", "gpt-6.1", "gpt-6.1-sol"),
        ("openai", "gpt-6.3-sol", "gpt-6", "gpt-6-cyber"),
        ("openai", "gpt-6-nova", "gpt-6", "gpt-6-cyber"),
        ("openai", "gpt-5.5-nova", "gpt-5.5", "gpt-5.5-cyber"),
        ("openai", "gpt-9", "gpt", "gpt-6-cyber"),
        ("openai", "gpt-9-pro", "gpt", "gpt-5.4-pro"),
        ("openai", "gpt-5.5-pro-max", "gpt-5.5-pro", "gpt-5.5-pro"),
        ("openai", "gpt-9o-audio-x", "gpt", "gpt-6-cyber"),
        ("openai", "gpt-audio-9", "gpt-audio", "gpt-audio"),
        ("openai", "o3-nova", "o3", "o3-deep-research"),
        ("openai", "text-davinci-003", "", "gpt-6-cyber"),
        ("openai", "text-embedding-4", "text-embedding", "text-embedding-3-large"),
        (
            "openai",
            "ft:gpt-4o-mini-2030-01-01:a:b:c",
            "ft:gpt-4o-mini",
            "ft:gpt-4o-mini-2024-07-18",
        ),
        ("openai", "ft:gpt-9:a:b:c", "ft:gpt", "ft:gpt-4-0613"),
        ("openai", "", "", "gpt-6-cyber"),
    ],
)
def test_an_unknown_name_has_the_dearest_of_its_longest_stem(
    vendor: str, model: str, stem: str, dearest: str
) -> None:
    match = TABLE.resolve(vendor, model)
    assert (match.stem, match.priced_as, match.price) == (stem, dearest, "assumed")
    assert match.how == ("family" if stem else "vendor")
    assert match.name == bare(model)


def test_a_stem_ends_where_a_part_of_the_name_ends() -> None:
    names = {name: words_of(name) for name in ("gpt-60", "gpt-6o", "gpt-6.1", "gpt-6-a")}
    family = family_of("gpt-6.2", names)
    assert family is not None
    assert (family.stem, family.names) == ("gpt-6", ("gpt-6.1", "gpt-6-a"))
