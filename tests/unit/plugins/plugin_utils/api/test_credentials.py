# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sources of credentials. No message and no ``repr`` contains a secret."""

from __future__ import annotations

import os
import pathlib
import typing as t

import pytest

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.credentials import (
    DEFAULT_API_URL,
    Credentials,
    is_same_account,
    load_credentials,
    merge_environments,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.credentials_file import parse_profile
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import (
    AuthError,
    NoCredentialsError,
    OptionsError,
)
from ansible_collections.remoteit.fleet.tests.unit.plugins.mock_api import (
    ACCESS_KEY_ID,
    SECRET_ACCESS_KEY,
    WITH_ACCESS_KEY,
)

pytestmark = pytest.mark.usefixtures("home")

KEY = "R3_DEVELOPER_API_KEY"


def write(home: pathlib.Path, text: str | bytes, name: str = ".remoteit/credentials") -> str:
    path = home / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def found(options: dict[str, str], environ: dict[str, str]) -> tuple[t.Any, ...]:
    credentials = load_credentials(options, environ)
    return credentials.token, credentials.username, credentials.password, credentials.developer_key


# -- the sources -------------------------------------------------------------------------------------------------------

LOGIN_OPTIONS = {"username": "o-user", "password": "o-pass"}
LOGIN_ENVIRONMENT = {"REMOTEIT_USERNAME": "e-user", "REMOTEIT_PASSWORD": "e-pass"}
ENVIRONMENT_KEY = {"REMOTEIT_DEVELOPER_KEY": "e-key"}


@pytest.mark.parametrize(
    ("options", "environ", "expected"),
    [
        # options come before the environment
        (
            {"token": "o", "developer_key": "o-key"},
            {"REMOTEIT_TOKEN": "e", **ENVIRONMENT_KEY},
            ("o", None, None, "o-key"),
        ),
        ({**LOGIN_OPTIONS, "developer_key": "o-key"}, {"REMOTEIT_TOKEN": "e"}, (None, "o-user", "o-pass", "o-key")),
        ({}, {"REMOTEIT_TOKEN": "e", **ENVIRONMENT_KEY}, ("e", None, None, "e-key")),
        ({}, {**LOGIN_ENVIRONMENT, **ENVIRONMENT_KEY}, (None, "e-user", "e-pass", "e-key")),
        # only the developer key can come from another source
        ({"token": "o"}, ENVIRONMENT_KEY, ("o", None, None, "e-key")),
        ({"token": "o"}, {KEY: "r3-key"}, ("o", None, None, "r3-key")),
        ({"token": "o"}, {KEY: "r3-key", **ENVIRONMENT_KEY}, ("o", None, None, "e-key")),
        ({"token": "o"}, {}, ("o", None, None, "f-key")),
        ({}, {"REMOTEIT_TOKEN": "e"}, ("e", None, None, "f-key")),
        # sets are not completed from another source
        ({"token": "o"}, LOGIN_ENVIRONMENT, ("o", None, None, "f-key")),
        ({}, {"REMOTEIT_TOKEN": "e", "REMOTEIT_USERNAME": "e-user"}, ("e", None, None, "f-key")),
        # empty values are ignored, but without a complete set, only that of the developer key
        ({"developer_key": ""}, {"REMOTEIT_TOKEN": "e"}, ("e", None, None, "f-key")),
        ({"token": "o", "username": "", "profile": "", "developer_key": ""}, {}, ("o", None, None, "f-key")),
        (
            {},
            {"REMOTEIT_TOKEN": "", **LOGIN_ENVIRONMENT, "REMOTEIT_DEVELOPER_KEY": ""},
            (None, "e-user", "e-pass", "f-key"),
        ),
    ],
)
def test_load_credentials_uses_the_first_complete_set(
    home: pathlib.Path, options: dict[str, str], environ: dict[str, str], expected: tuple[t.Any, ...]
) -> None:
    write(home, f"[DEFAULT]\n{KEY} = f-key\n")
    assert found(options, environ) == expected


O_KEY = {"access_key_id": "O", "secret_access_key": "b3B0aW9u"}
E_KEY = {"R3_ACCESS_KEY_ID": "E", "R3_SECRET_ACCESS_KEY": "ZW52"}
F_KEY = {"R3_ACCESS_KEY_ID": "F", "R3_SECRET_ACCESS_KEY": "ZmlsZQ=="}
TOKEN_OPTIONS = {"token": "o", "developer_key": "o-key"}
TOKEN_ENVIRONMENT = {"REMOTEIT_TOKEN": "e", **ENVIRONMENT_KEY}


@pytest.mark.parametrize(
    ("options", "environ", "expected"),
    [
        # an access key is preferred within one source
        (O_KEY, {**E_KEY, **TOKEN_ENVIRONMENT}, "O"),
        ({}, {**E_KEY, **TOKEN_ENVIRONMENT, **LOGIN_ENVIRONMENT}, "E"),
        ({}, {}, "F"),
        (TOKEN_OPTIONS, E_KEY, None),
        ({**LOGIN_OPTIONS, "developer_key": "o-key"}, E_KEY, None),
        ({}, TOKEN_ENVIRONMENT, None),
        ({}, {"REMOTEIT_TOKEN": "e", KEY: "k"}, None),
        # a developer key alone is not sufficient
        ({"developer_key": "o-key"}, E_KEY, "E"),
        ({**O_KEY, "developer_key": "o-key"}, {}, "O"),
        ({}, ENVIRONMENT_KEY, "F"),
        # half a set is not completed from another source
        ({}, {"R3_ACCESS_KEY_ID": "E"}, "F"),
        ({}, {"R3_SECRET_ACCESS_KEY": "ZW52", "REMOTEIT_USERNAME": "u"}, "F"),
        ({}, {"R3_ACCESS_KEY_ID": "E", **TOKEN_ENVIRONMENT}, None),
        ({**O_KEY, "token": "", "profile": "", "credentials_file": ""}, {**E_KEY, "REMOTEIT_TOKEN": ""}, "O"),
    ],
)
def test_load_credentials_prefers_access_keys_in_a_source(
    home: pathlib.Path, options: dict[str, str], environ: dict[str, str], expected: str | None
) -> None:
    write(home, "[DEFAULT]\n" + "".join(f"{key} = {value}\n" for key, value in {**F_KEY, KEY: "f-key"}.items()))
    credentials = load_credentials(options, environ)
    secrets = {"O": "b3B0aW9u", "E": "ZW52", "F": "ZmlsZQ==", None: None}
    assert (credentials.access_key_id, credentials.secret_access_key) == (expected, secrets[expected])
    assert bool(expected) is (credentials.token is credentials.username is credentials.developer_key is None)
    assert credentials.url == (credentials.graphql_url if expected else credentials.api_url)


FILE_OF_TWO_ACCOUNTS = f"[DEFAULT]\n{KEY}=d\n[work]\nR3_ACCESS_KEY_ID=F\nR3_SECRET_ACCESS_KEY=ZmlsZQ==\n{KEY}=w\n"


@pytest.mark.parametrize("environ", [E_KEY, TOKEN_ENVIRONMENT, {**LOGIN_ENVIRONMENT, **ENVIRONMENT_KEY}])
@pytest.mark.parametrize("options", [{"profile": "work"}, {"credentials_file": "{file}"}])
def test_profile_of_an_option_precedes_the_environment(
    home: pathlib.Path, options: dict[str, str], environ: dict[str, str]
) -> None:
    path = write(home, FILE_OF_TWO_ACCOUNTS)
    options = {name: value.format(file=path) for name, value in options.items()}
    assert load_credentials(options, {"REMOTEIT_PROFILE": "work", **environ}).access_key_id == "F"


def test_options_precede_their_profile(home: pathlib.Path) -> None:
    write(home, FILE_OF_TWO_ACCOUNTS)
    assert load_credentials({**O_KEY, "profile": "work"}, E_KEY).access_key_id == "O"
    assert found({**TOKEN_OPTIONS, "profile": "work"}, E_KEY) == ("o", None, None, "o-key")
    assert found({"token": "o", "profile": "work"}, TOKEN_ENVIRONMENT) == ("o", None, None, "w")
    assert found({"profile": "DEFAULT"}, {**E_KEY, **TOKEN_ENVIRONMENT}) == ("e", None, None, "d")


@pytest.mark.parametrize("text", ["", "[DEFAULT]\n", "[DEFAULT]\nR3_ACCESS_KEY_ID=F\n"])
@pytest.mark.parametrize("environ", [E_KEY, TOKEN_ENVIRONMENT])
def test_profile_of_an_option_must_be_complete(home: pathlib.Path, environ: dict[str, str], text: str) -> None:
    """The environment can be that of another account."""
    write(home, text)
    with pytest.raises(NoCredentialsError, match="the option profile is set"):
        load_credentials({"profile": "DEFAULT"}, environ)


@pytest.mark.parametrize("environ", [{}, E_KEY, TOKEN_ENVIRONMENT])
@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"access_key_id": "", "secret_access_key": ""}, "access_key_id"),
        ({"access_key_id": "O", "secret_access_key": ""}, "secret_access_key"),
        ({"token": "", "developer_key": "o-key"}, "token"),
        ({"username": "", "password": "o-pass"}, "username"),
        ({"password": ""}, "password"),
        ({"profile": ""}, "profile"),
        ({"profile": "work", "credentials_file": ""}, "credentials_file"),
        ({"profile": "work", "token": ""}, "token"),
    ],
)
def test_load_credentials_refuses_an_empty_option(
    home: pathlib.Path, options: dict[str, str], name: str, environ: dict[str, str]
) -> None:
    """The environment and the file can be those of another account."""
    write(home, FILE_OF_TWO_ACCOUNTS)
    with pytest.raises(OptionsError, match=f"^the option {name} is empty"):
        load_credentials(options, environ)


def test_profile_of_the_environment_follows_the_environment(home: pathlib.Path) -> None:
    write(home, FILE_OF_TWO_ACCOUNTS)
    assert load_credentials({}, {**E_KEY, "REMOTEIT_PROFILE": "work"}).access_key_id == "E"


def test_load_credentials_does_not_mix_profiles(home: pathlib.Path) -> None:
    write(home, "[DEFAULT]\nR3_SECRET_ACCESS_KEY=ZmlsZQ==\n[work]\nr3_access_key_id=F\n")
    with pytest.raises(AuthError, match="R3_ACCESS_KEY_ID is there without R3_SECRET_ACCESS_KEY"):
        load_credentials({"profile": "work"}, {})


def test_load_credentials_reads_default_file_only_if_needed(home: pathlib.Path) -> None:
    (home / ".remoteit" / "credentials").mkdir(parents=True)  # it cannot be read
    assert load_credentials(O_KEY, {}).access_key_id == "O"
    assert load_credentials({}, E_KEY).access_key_id == "E"
    with pytest.raises(OptionsError, match="Is a directory"):
        load_credentials({}, {})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"access_key_id": "a"}, "the option secret_access_key is missing"),
        ({"secret_access_key": "s"}, "the option access_key_id is missing"),
        ({"username": "u"}, "the option password is missing"),
        ({"password": "p"}, "the option username is missing"),
        ({"access_key_id": "a", "token": "t"}, "the option access_key_id, the option token"),
        ({**O_KEY, "password": "p"}, "mix two sets"),
        ({"token": "t", "username": "u", "password": "p"}, "mix two sets"),
    ],
)
def test_load_credentials_rejects_incomplete_or_mixed_options(options: dict[str, str], message: str) -> None:
    with pytest.raises(OptionsError, match=message):
        load_credentials(options, {"REMOTEIT_TOKEN": "e", **ENVIRONMENT_KEY})


@pytest.mark.parametrize(
    "environ", [{}, {"REMOTEIT_USERNAME": "u"}, {"REMOTEIT_PASSWORD": "p"}, {"R3_ACCESS_KEY_ID": "a"}, ENVIRONMENT_KEY]
)
def test_load_credentials_lists_all_ways_if_none_is_complete(environ: dict[str, str]) -> None:
    with pytest.raises(AuthError) as caught:
        load_credentials({}, environ)
    ways = ["option token", "REMOTEIT_TOKEN", "username and password", "REMOTEIT_USERNAME", "REMOTEIT_PASSWORD"]
    ways += ["options access_key_id and secret_access_key", "R3_ACCESS_KEY_ID", "R3_SECRET_ACCESS_KEY"]
    ways += ["option developer_key", "REMOTEIT_DEVELOPER_KEY", KEY, "DEFAULT", "~/.remoteit/credentials"]
    for way in ways:
        assert way in caught.value.message


def test_load_credentials_reports_missing_developer_key() -> None:
    with pytest.raises(AuthError, match="the developer key is missing for the token from"):
        load_credentials({"token": "t"}, {"REMOTEIT_PROFILE": ""})


# -- the file ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "profile", "key"),
    [
        (f"[DEFAULT]\n{KEY}=a\n", "DEFAULT", "a"),
        (f"[default]\n{KEY}=a\n", "DEFAULT", "a"),
        (f"[DEFAULT]\n{KEY}=a\n", "default", "a"),
        (f"[default]\n{KEY}=lower\n[DEFAULT]\n{KEY}=upper\n", "DEFAULT", "upper"),  # the exact name comes first
        (f"[default]\n{KEY}=lower\n[DEFAULT]\n{KEY}=upper\n", "default", "lower"),
        (f"[Work]\n{KEY}=a\n", "work", "a"),
        (f"{KEY}=a\n", "DEFAULT", "a"),  # no section at all
        (f"\n# comment\n; another\n{KEY}=a\n", "default", "a"),
        (f"{KEY}=top\n[DEFAULT]\n{KEY}=section\n", "DEFAULT", "section"),
        (f"{KEY}=top\n[work]\n{KEY}=w\n", "DEFAULT", "top"),
        (f"[DEFAULT]\n{KEY}=a\n[work]\nR3_ACCESS_KEY_ID=x\n", "work", None),  # DEFAULT does not leak
        (f"{KEY}=top\n[work]\nR3_ACCESS_KEY_ID=x\n", "work", None),
        (f"[DEFAULT]\n{KEY}=50%%(x)s%\n", "DEFAULT", "50%%(x)s%"),  # no interpolation
        (f"[DEFAULT]\n{KEY} =  a=b:c==  \n", "DEFAULT", "a=b:c=="),
        (f"[DEFAULT]\r\n{KEY.lower()}=a\r\n", "DEFAULT", "a"),
        (f"[DEFAULT]\n{KEY}=first\n{KEY}=last\n", "DEFAULT", "last"),
        (f"[DEFAULT]\n{KEY}=\n", "DEFAULT", ""),
        ("", "DEFAULT", None),
    ],
)
def test_parse_profile_finds_the_section(text: str, profile: str, key: str | None) -> None:
    assert parse_profile(text, profile, "file").get(KEY) == key


def test_parse_profile_lists_profiles_if_unknown() -> None:
    with pytest.raises(OptionsError, match=r"DEFAULT, work$"):
        parse_profile(f"{KEY}=a\n[DEFAULT]\n{KEY}=b\n[work]\n{KEY}=c\n", "home", "file")


def test_parse_profile_error_does_not_print_the_file() -> None:
    with pytest.raises(OptionsError, match="line 2") as caught:
        parse_profile("[DEFAULT]\nhunter2 and nothing else\n", "DEFAULT", "file")
    assert "hunter2" not in caught.value.message


@pytest.mark.parametrize(
    ("options", "environ"),
    [
        ({"credentials_file": "{file}", "profile": "work"}, {}),
        ({}, {"REMOTEIT_CREDENTIALS_FILE": "{file}", "REMOTEIT_PROFILE": "work"}),
        ({"profile": "work"}, {"REMOTEIT_CREDENTIALS_FILE": "{file}", "REMOTEIT_PROFILE": "DEFAULT"}),
        ({}, {"REMOTEIT_CREDENTIALS_FILE": "~/mine", "REMOTEIT_PROFILE": "work"}),
    ],
)
def test_load_credentials_reads_the_requested_profile(
    home: pathlib.Path, options: dict[str, str], environ: dict[str, str]
) -> None:
    path = write(home, f"[DEFAULT]\n{KEY}=d\n[work]\n{KEY}=w\n", "mine")
    options = {name: value.format(file=path) for name, value in options.items()}
    environ = {name: value.format(file=path) for name, value in environ.items()}
    assert found({"token": "t", **options}, environ) == ("t", None, None, "w")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"credentials_file": "/dev/null/nowhere"}, "/dev/null/nowhere does not exist"),
        ({"profile": "work"}, "~/.remoteit/credentials does not exist"),
    ],
)
def test_load_credentials_requires_a_requested_file(options: dict[str, str], message: str) -> None:
    with pytest.raises(OptionsError, match=message):
        load_credentials({"token": "t", "developer_key": "k", **options}, {})


def test_load_credentials_reports_directory_as_file(home: pathlib.Path) -> None:
    with pytest.raises(OptionsError, match="Is a directory"):
        load_credentials({"token": "t", "credentials_file": str(home)}, {})


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_load_credentials_reports_unreadable_file(home: pathlib.Path) -> None:
    path = write(home, f"{KEY}=a\n")
    os.chmod(path, 0)
    with pytest.raises(OptionsError, match="Permission denied"):
        load_credentials({"token": "t"}, {})


def test_load_credentials_reports_file_that_is_not_utf8(home: pathlib.Path) -> None:
    write(home, f"{KEY}=hunter2\xe4\n".encode("latin-1"))
    with pytest.raises(OptionsError, match="not UTF-8") as caught:
        load_credentials({"token": "t"}, {})
    assert "hunter2" not in caught.value.message


TOKEN = {"REMOTEIT_TOKEN": "e"}
FILE = "in the profile DEFAULT of ~/.remoteit/credentials"
R3_ID, R3_SECRET = "access_key_id from R3_ACCESS_KEY_ID", "secret_access_key from R3_SECRET_ACCESS_KEY"


@pytest.mark.parametrize(
    ("options", "environ", "text", "sources"),
    [
        (
            O_KEY,
            {},
            "",
            "access_key_id from the option access_key_id, secret_access_key from the option secret_access_key",
        ),
        ({}, TOKEN, f"{KEY}=f", f"token from REMOTEIT_TOKEN in the environment, developer_key from {KEY} {FILE}"),
        (
            {"token": "t"},
            {"REMOTEIT_PROFILE": "work", **ENVIRONMENT_KEY},
            "[work]\n",
            "token from the option token, developer_key from REMOTEIT_DEVELOPER_KEY in the environment",
        ),
        ({}, {}, "R3_ACCESS_KEY_ID=F\nR3_SECRET_ACCESS_KEY=ZmlsZQ==", f"{R3_ID} {FILE}, {R3_SECRET} {FILE}"),
    ],
)
def test_load_credentials_notes_the_source_of_each_value(
    home: pathlib.Path, options: dict[str, str], environ: dict[str, str], text: str, sources: str
) -> None:
    write(home, text)
    credentials = load_credentials(options, environ)
    assert credentials.sources == sources
    assert credentials.explain("refused") == f"refused; credentials used: {sources}"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("export R3_ACCESS_KEY_ID=F\nexport R3_SECRET_ACCESS_KEY=ZmlsZQ==\n", "R3_ACCESS_KEY_ID=... alone on line 1"),
        ("[default]\nexport\tR3_SECRET_ACCESS_KEY=ZmlsZQ==\n", "R3_SECRET_ACCESS_KEY=... alone on line 2"),
        ("[default]\nset r3_developer_api_key=ZmlsZQ==\n", "R3_DEVELOPER_API_KEY=... alone on line 2"),
        ('"R3_SECRET_ACCESS_KEY": "ZmlsZQ=="\n', "alone on line 1"),
        ("keys:\n  - R3_SECRET_ACCESS_KEY: ZmlsZQ==\n", "alone on line 2"),
        ("default:\n  R3_SECRET_ACCESS_KEY: ZmlsZQ==\n", "alone on line 2"),
        ('{"R3_ACCESS_KEY_ID": "F", "R3_SECRET_ACCESS_KEY": "ZmlsZQ=="}', "JSON"),
        ('{\n  "R3_ACCESS_KEY_ID": "F"\n}\n', "JSON"),
        ('[{"R3_ACCESS_KEY_ID": "F", "R3_SECRET_ACCESS_KEY": "ZmlsZQ=="}]', "JSON"),
        ('[ {\n  "R3_ACCESS_KEY_ID": "F"\n}]\n', "JSON"),
        (
            '$env:R3_ACCESS_KEY_ID = "F"\n$env:R3_SECRET_ACCESS_KEY = "ZmlsZQ=="\n',
            "R3_ACCESS_KEY_ID=... alone on line 1",
        ),
        ("R3_ACCESS_KEY_ID=F\n  R3_SECRET_ACCESS_KEY=ZmlsZQ==\n", "an indented line below R3_ACCESS_KEY_ID"),
        ("$ANSIBLE_VAULT;1.1;AES256\n3136\n", "Ansible Vault"),
    ],
)
def test_load_credentials_hints_at_other_file_formats(home: pathlib.Path, text: str, hint: str) -> None:
    write(home, text)
    for environ in {}, {"REMOTEIT_TOKEN": "t"}:
        with pytest.raises(OptionsError, match=hint) as caught:
            load_credentials({}, environ)
        assert "ZmlsZQ" not in caught.value.message


def test_load_credentials_hints_at_misspelled_keys(home: pathlib.Path) -> None:
    write(home, "[ DEFAULT ]\nR3_ACCESS_KEY=F\nR3_SECRET_KEY=ZmlsZQ==\nR3_DEVELOPER_API_KEY=F\n")
    with pytest.raises(NoCredentialsError, match="R3_ACCESS_KEY, R3_SECRET_KEY in the profile DEFAULT of") as caught:
        load_credentials({}, {})
    assert "ZmlsZQ" not in caught.value.message


@pytest.mark.parametrize("text", ["access_key_id=F\nsecret_access_key=ZmlsZQ==\n", "F:ZmlsZQ==\n", "", "[default]\n"])
def test_load_credentials_hints_at_other_keys(home: pathlib.Path, text: str) -> None:
    write(home, text)
    with pytest.raises(NoCredentialsError, match="has no line that begins with R3_") as caught:
        load_credentials({}, {})
    assert "ZmlsZQ" not in caught.value.message


def test_load_credentials_names_empty_lines(home: pathlib.Path) -> None:
    write(home, "[default]\nR3_ACCESS_KEY_ID=\nR3_SECRET_ACCESS_KEY =\n")
    with pytest.raises(NoCredentialsError, match="R3_ACCESS_KEY_ID and R3_SECRET_ACCESS_KEY are empty in the profile"):
        load_credentials({}, {})


def test_load_credentials_ignores_comments_about_scripts(home: pathlib.Path) -> None:
    write(home, "# export R3_ACCESS_KEY_ID=...\n  ; set R3_ACCESS_KEY_ID=\n[default]\n  r3_access_key_id: F\n"
          "  R3_SECRET_ACCESS_KEY = ZmlsZQ==\nnote = R3_ACCESS_KEY_ID\n")  # fmt: skip
    assert load_credentials({}, {}).access_key_id == "F"


def test_load_credentials_lists_the_profiles_if_one_must_be_set(home: pathlib.Path) -> None:
    write(home, "[prod]\nR3_ACCESS_KEY_ID=F\nR3_SECRET_ACCESS_KEY=ZmlsZQ==\n[test]\nR3_ACCESS_KEY_ID=G\n[ZmlsZQ==]\n")
    with pytest.raises(NoCredentialsError, match=r"credentials are prod, test: set .* REMOTEIT_PROFILE"):
        load_credentials({}, {})
    assert load_credentials({}, {"REMOTEIT_PROFILE": "prod"}).access_key_id == "F"


@pytest.mark.parametrize("name", ["access_key_id", "secret_access_key"])
@pytest.mark.parametrize("value", ["a b", '"quoted"'])
def test_load_credentials_names_the_source_of_an_invalid_value(name: str, value: str) -> None:
    variable = f"R3_{name.upper()}"
    with pytest.raises(OptionsError, match=f"; it comes from {variable} in the environment$"):
        load_credentials({}, {**E_KEY, variable: value})


# -- the values --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", ["hunter2 x", "hunter2\n", "\thunter2", "hunter2\r\nX-Evil: 1", "hunter2ä", "hunter2\x7f"]
)
@pytest.mark.parametrize("name", ["token", "developer_key", "access_key_id", "secret_access_key"])
def test_load_credentials_rejects_characters_without_printing(name: str, value: str) -> None:
    options = O_KEY if "access" in name else {"token": "t", "developer_key": "k"}
    with pytest.raises(OptionsError, match=name) as caught:
        load_credentials({**options, name: value}, {})
    assert "hunter2" not in caught.value.message


@pytest.mark.parametrize(
    "options",
    [
        {"access_key_id": 'hunter2",algorithm="none'},
        {"access_key_id": "hunter2\\"},
        {"secret_access_key": "hunter2!"},
        {"secret_access_key": "hunter222"},
    ],
)
def test_load_credentials_rejects_invalid_access_key(options: dict[str, str]) -> None:
    with pytest.raises(OptionsError, match=next(iter(options))) as caught:
        load_credentials({**O_KEY, **options}, {})
    assert "hunter2" not in caught.value.message


def test_load_credentials_accepts_any_password() -> None:
    options = {"username": "some one@example.com", "password": " pä ss\t", "developer_key": "k"}
    assert found(options, {}) == (None, "some one@example.com", " pä ss\t", "k")


@pytest.mark.parametrize(
    ("options", "environ", "expected"),
    [
        (TOKEN_OPTIONS, {}, "https://api.remot3.it/apv/v27"),
        (TOKEN_OPTIONS, {"REMOTEIT_API_URL": "https://api.remote.it/apv/v27/"}, "https://api.remote.it/apv/v27"),
        ({**TOKEN_OPTIONS, "api_url": "http://127.0.0.1:1"}, {"REMOTEIT_API_URL": "https://e"}, "http://127.0.0.1:1"),
        (O_KEY, {}, "https://api.remote.it/graphql/v1"),
        (O_KEY, {"REMOTEIT_GRAPHQL_URL": "http://127.0.0.1:1/v1/graphql/"}, "http://127.0.0.1:1/v1/graphql"),
        ({**O_KEY, "graphql_url": "http://127.0.0.1:1"}, {"REMOTEIT_GRAPHQL_URL": "https://e"}, "http://127.0.0.1:1"),
    ],
)
def test_load_credentials_finds_the_urls(options: dict[str, str], environ: dict[str, str], expected: str) -> None:
    assert load_credentials(options, environ).url == expected


@pytest.mark.parametrize("name", ["api_url", "graphql_url"])
@pytest.mark.parametrize("url", [
    "api.remot3.it", "ftp://api.remot3.it", "https://", "https://a b/", "https://user:pw@api.remot3.it",
    "https://a/?x#y", "https://[::1", "https://a..b", f"https://{'a' * 64}.example.com", "https://a:b", "https://a:0",
    "https://a:65536", "https://:443", "https:///apv", "https://\u2100.com",
])  # fmt: skip
def test_load_credentials_rejects_invalid_urls(name: str, url: str) -> None:
    with pytest.raises(OptionsError, match=f"^{name} "):
        load_credentials({"token": "t", "developer_key": "k", name: url}, {})


@pytest.mark.parametrize("password", ["hunter2", "hunter2/", "hunter2?", "hunter2#", "/hunter2", "1/hunter2"])
def test_load_credentials_does_not_print_passwords_in_urls(password: str) -> None:
    with pytest.raises(OptionsError) as caught:
        load_credentials(
            {"token": "t", "developer_key": "k", "api_url": f"https://someone:{password}@api.remot3.it"}, {}
        )
    assert "hunter2" not in caught.value.message


CREDENTIALS = [
    Credentials(DEFAULT_API_URL, "s3cret-key", token="s3cret-token"),
    Credentials(DEFAULT_API_URL, "s3cret-key", username="s3cret-user", password="s3cret-password"),
    Credentials(access_key_id="s3cret-id", secret_access_key="s3cretsecret"),
]


@pytest.mark.parametrize("credentials", CREDENTIALS)
def test_credentials_repr_and_fingerprint_have_no_secret(credentials: Credentials) -> None:
    for text in (repr(credentials), str(credentials), credentials.fingerprint()):
        assert "s3cret" not in text


def test_fingerprint_is_stable_and_differs_by_account() -> None:
    login = CREDENTIALS[1]
    others = [
        CREDENTIALS[0],
        Credentials("https://api.remote.it/apv/v27", "s3cret-key", username="s3cret-user", password="s3cret-password"),
        Credentials(DEFAULT_API_URL, "other-key", username="s3cret-user", password="s3cret-password"),
        Credentials(DEFAULT_API_URL, "s3cret-key", username="other", password="s3cret-password"),
    ]
    assert login.fingerprint() == "662b3b9936ca-ccf1ae849bc0"
    assert len({login.fingerprint(), *(other.fingerprint() for other in others)}) == 5
    renewed = Credentials(DEFAULT_API_URL, "s3cret-key", username="s3cret-user", password="another password")
    assert renewed.fingerprint() == login.fingerprint()
    assert [is_same_account(login.fingerprint(), other.fingerprint()) for other in others] == [True, False, False, True]


@pytest.mark.parametrize("credentials", CREDENTIALS)
def test_as_options_restores_the_credentials(credentials: Credentials) -> None:
    assert load_credentials(credentials.as_options(), {}) == credentials


def test_fingerprint_of_access_key_ignores_the_secret() -> None:
    secret = Credentials(access_key_id=ACCESS_KEY_ID, secret_access_key="T3RoZXI=")
    others = [
        Credentials(access_key_id="OTHER", secret_access_key=SECRET_ACCESS_KEY),
        Credentials(access_key_id=ACCESS_KEY_ID, secret_access_key=SECRET_ACCESS_KEY, graphql_url="https://e"),
        Credentials(developer_key=ACCESS_KEY_ID, token=ACCESS_KEY_ID),
    ]
    fingerprint = WITH_ACCESS_KEY.fingerprint()
    assert fingerprint == "14a2927f7279-14a2927f7279"  # the same in every run
    assert secret.fingerprint() == fingerprint
    assert not any(is_same_account(fingerprint, other.fingerprint()) for other in others)


def test_secrets_contains_all_encodings() -> None:
    secrets = Credentials(access_key_id="id", secret_access_key="-_-_aHVudGVyMg").secrets()
    assert {"id", "-_-_aHVudGVyMg", "+/+/aHVudGVyMg", b"\xfb\xff\xbfhunter2".hex()} <= set(secrets)
    assert any(secret.endswith("hunter2") for secret in secrets)


LOGIN = {"REMOTEIT_USERNAME": "me", "REMOTEIT_PASSWORD": "secret"}


@pytest.mark.parametrize(
    ("task", "process", "result"),
    [
        ({}, {"REMOTEIT_TOKEN": "b"}, {"REMOTEIT_TOKEN": "b"}),
        ({"REMOTEIT_TOKEN": "a"}, {"REMOTEIT_TOKEN": "b"}, {"REMOTEIT_TOKEN": "a"}),
        ({"REMOTEIT_TOKEN": "a"}, LOGIN, {"REMOTEIT_TOKEN": "a"}),
        ({"R3_ACCESS_KEY_ID": "half"}, LOGIN, LOGIN),
        ({"R3_ACCESS_KEY_ID": "half"}, {"R3_SECRET_ACCESS_KEY": "half"}, {"R3_SECRET_ACCESS_KEY": "half"}),
        (LOGIN, {"R3_DEVELOPER_API_KEY": "key"}, {**LOGIN, "R3_DEVELOPER_API_KEY": "key"}),
        ({"PATH": "a"}, {"PATH": "b", "HOME": "c"}, {"PATH": "a", "HOME": "c"}),
    ],
)
def test_merge_environments_uses_one_complete_set(
    task: dict[str, str], process: dict[str, str], result: dict[str, str]
) -> None:
    assert merge_environments(task, process) == result
