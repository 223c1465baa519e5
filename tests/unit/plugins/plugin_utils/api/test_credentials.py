# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where credentials come from, and that nothing of them shows."""

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
    parse_profile,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import AuthError, OptionsError
from ansible_collections.remoteit.fleet.tests.unit.plugins.conversation import (
    ACCESS_KEY_ID,
    SECRET_ACCESS_KEY,
    WITH_ACCESS_KEY,
)

KEY = "R3_DEVELOPER_API_KEY"


@pytest.fixture(autouse=True)
def home(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A home without credentials."""
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def write(home: pathlib.Path, text: str | bytes, name: str = ".remoteit/credentials") -> str:
    path = home / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def found(options: dict[str, str], environ: dict[str, str]) -> tuple[t.Any, ...]:
    credentials = load_credentials(options, environ)
    return credentials.token, credentials.username, credentials.password, credentials.developer_key


# -- the levels --------------------------------------------------------------------------------------------------------

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
        # the developer key alone may come from a lower level
        ({"token": "o"}, ENVIRONMENT_KEY, ("o", None, None, "e-key")),
        ({"token": "o"}, {KEY: "r3-key"}, ("o", None, None, "r3-key")),
        ({"token": "o"}, {KEY: "r3-key", **ENVIRONMENT_KEY}, ("o", None, None, "e-key")),
        ({"token": "o"}, {}, ("o", None, None, "f-key")),
        ({}, {"REMOTEIT_TOKEN": "e"}, ("e", None, None, "f-key")),
        # a token is never completed by half a login of a lower level, nor the other way round
        ({"token": "o"}, LOGIN_ENVIRONMENT, ("o", None, None, "f-key")),
        ({}, {"REMOTEIT_TOKEN": "e", "REMOTEIT_USERNAME": "e-user"}, ("e", None, None, "f-key")),
        # what is empty was not given
        ({"token": "", "username": "", "developer_key": ""}, {"REMOTEIT_TOKEN": "e"}, ("e", None, None, "f-key")),
        (
            {},
            {"REMOTEIT_TOKEN": "", **LOGIN_ENVIRONMENT, "REMOTEIT_DEVELOPER_KEY": ""},
            (None, "e-user", "e-pass", "f-key"),
        ),
    ],
)
def test_the_first_level_with_a_complete_set_wins(
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
        # within one level the access key comes first, and a level comes before the next
        (O_KEY, {**E_KEY, **TOKEN_ENVIRONMENT}, "O"),
        ({}, {**E_KEY, **TOKEN_ENVIRONMENT, **LOGIN_ENVIRONMENT}, "E"),
        ({}, {}, "F"),
        (TOKEN_OPTIONS, E_KEY, None),
        ({**LOGIN_OPTIONS, "developer_key": "o-key"}, E_KEY, None),
        ({}, TOKEN_ENVIRONMENT, None),
        ({}, {"REMOTEIT_TOKEN": "e", KEY: "k"}, None),
        # a developer key alone is no set
        ({"developer_key": "o-key"}, E_KEY, "E"),
        ({**O_KEY, "developer_key": "o-key"}, {}, "O"),
        ({}, ENVIRONMENT_KEY, "F"),
        # nor is half a set, and it is not completed from another level
        ({}, {"R3_ACCESS_KEY_ID": "E"}, "F"),
        ({}, {"R3_SECRET_ACCESS_KEY": "ZW52", "REMOTEIT_USERNAME": "u"}, "F"),
        ({}, {"R3_ACCESS_KEY_ID": "E", **TOKEN_ENVIRONMENT}, None),
        ({"access_key_id": "", "secret_access_key": ""}, {**E_KEY, "REMOTEIT_TOKEN": ""}, "E"),
    ],
)
def test_where_an_access_key_comes_from(
    home: pathlib.Path, options: dict[str, str], environ: dict[str, str], expected: str | None
) -> None:
    write(home, "[DEFAULT]\n" + "".join(f"{key} = {value}\n" for key, value in {**F_KEY, KEY: "f-key"}.items()))
    credentials = load_credentials(options, environ)
    secrets = {"O": "b3B0aW9u", "E": "ZW52", "F": "ZmlsZQ==", None: None}
    assert (credentials.access_key_id, credentials.secret_access_key) == (expected, secrets[expected])
    assert bool(expected) is (credentials.token is credentials.username is credentials.developer_key is None)
    assert credentials.url == (credentials.graphql_url if expected else credentials.api_url)


def test_a_profile_is_never_completed_by_another(home: pathlib.Path) -> None:
    write(home, "[DEFAULT]\nR3_SECRET_ACCESS_KEY=ZmlsZQ==\n[work]\nr3_access_key_id=F\n")
    with pytest.raises(AuthError, match="R3_ACCESS_KEY_ID is there without R3_SECRET_ACCESS_KEY"):
        load_credentials({"profile": "work"}, {})


def test_the_default_file_is_not_looked_at_for_nothing(home: pathlib.Path) -> None:
    (home / ".remoteit" / "credentials").mkdir(parents=True)  # reading it would fail
    assert load_credentials(O_KEY, {}).access_key_id == "O"
    assert load_credentials({}, E_KEY).access_key_id == "E"
    with pytest.raises(OptionsError, match="Is a directory"):
        load_credentials({}, {})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"access_key_id": "a"}, "the option secret_access_key is missing"),
        ({"secret_access_key": "s"}, "the option access_key_id is missing"),
        ({"access_key_id": "a", "token": "t"}, "mix two sets"),
        ({**O_KEY, "token": "t", "developer_key": "k"}, "mix two sets"),
        ({**O_KEY, "password": "p"}, "mix two sets"),
        ({"username": "u"}, "the option password is missing"),
        ({"password": "p"}, "the option username is missing"),
        ({"token": "t", "username": "u"}, "mix two sets"),
        ({"token": "t", "username": "u", "password": "p"}, "mix two sets"),
    ],
)
def test_options_that_are_half_a_set_or_two(options: dict[str, str], message: str) -> None:
    with pytest.raises(OptionsError, match=message):
        load_credentials(options, {"REMOTEIT_TOKEN": "e", **ENVIRONMENT_KEY})


@pytest.mark.parametrize(
    "environ", [{}, {"REMOTEIT_USERNAME": "u"}, {"REMOTEIT_PASSWORD": "p"}, {"R3_ACCESS_KEY_ID": "a"}, ENVIRONMENT_KEY]
)
def test_nothing_complete_lists_every_way(environ: dict[str, str]) -> None:
    with pytest.raises(AuthError) as caught:
        load_credentials({}, environ)
    ways = ["option token", "REMOTEIT_TOKEN", "username and password", "REMOTEIT_USERNAME", "REMOTEIT_PASSWORD"]
    ways += ["options access_key_id and secret_access_key", "R3_ACCESS_KEY_ID", "R3_SECRET_ACCESS_KEY"]
    ways += ["option developer_key", "REMOTEIT_DEVELOPER_KEY", KEY, "DEFAULT", "~/.remoteit/credentials"]
    for way in ways:
        assert way in caught.value.message


def test_a_missing_developer_key_is_named() -> None:
    with pytest.raises(AuthError, match="the developer key is missing"):
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
        (f"[DEFAULT]\n{KEY}=\n", "DEFAULT", None),
        ("", "DEFAULT", None),
    ],
)
def test_traps_of_the_credentials_file(text: str, profile: str, key: str | None) -> None:
    assert parse_profile(text, profile, "file").get(KEY) == key


def test_an_unknown_profile_names_those_that_are_there() -> None:
    with pytest.raises(OptionsError, match=r"file has no profile home; it has: DEFAULT, work$"):
        parse_profile(f"{KEY}=a\n[DEFAULT]\n[work]\n", "home", "file")


def test_a_file_that_is_no_ini_file_is_not_shown() -> None:
    with pytest.raises(OptionsError, match="not an INI file at line 2") as caught:
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
def test_which_file_and_which_profile(home: pathlib.Path, options: dict[str, str], environ: dict[str, str]) -> None:
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
def test_a_file_that_was_asked_for_must_be_there(options: dict[str, str], message: str) -> None:
    with pytest.raises(OptionsError, match=message):
        load_credentials({"token": "t", "developer_key": "k", **options}, {})


def test_a_folder_is_not_a_file(home: pathlib.Path) -> None:
    with pytest.raises(OptionsError, match="cannot be read: Is a directory"):
        load_credentials({"token": "t", "credentials_file": str(home)}, {})


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_an_unreadable_file(home: pathlib.Path) -> None:
    path = write(home, f"{KEY}=a\n")
    os.chmod(path, 0)
    with pytest.raises(OptionsError, match="cannot be read: Permission denied"):
        load_credentials({"token": "t"}, {})


def test_a_file_that_is_not_utf8(home: pathlib.Path) -> None:
    write(home, f"{KEY}=hunter2\xe4\n".encode("latin-1"))
    with pytest.raises(OptionsError, match="cannot be read: it is not UTF-8 text") as caught:
        load_credentials({"token": "t"}, {})
    assert "hunter2" not in caught.value.message


# -- what is in them ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", ["hunter2 x", "hunter2\n", "\thunter2", "hunter2\r\nX-Evil: 1", "hunter2ä", "hunter2\x7f"]
)
@pytest.mark.parametrize("name", ["token", "developer_key"])
def test_what_cannot_stand_in_a_header_is_refused_and_not_shown(name: str, value: str) -> None:
    with pytest.raises(OptionsError, match=f"the {name} holds white space") as caught:
        load_credentials({"token": "t", "developer_key": "k", name: value}, {})
    assert "hunter2" not in caught.value.message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"access_key_id": "hunter2 x"}, "the access_key_id holds white space"),
        ({"access_key_id": "hunter2\r\nX-Evil: 1"}, "the access_key_id holds white space"),
        ({"access_key_id": 'hunter2",algorithm="none'}, "a quote or a backslash"),
        ({"access_key_id": "hunter2\\"}, "a quote or a backslash"),
        ({"secret_access_key": "hunter2\n"}, "the secret_access_key holds white space"),
        ({"secret_access_key": "hunter2!"}, "not base64"),
        ({"secret_access_key": "hunter222"}, "not base64"),
    ],
)
def test_an_access_key_that_is_none_is_refused_and_not_shown(options: dict[str, str], message: str) -> None:
    with pytest.raises(OptionsError, match=message) as caught:
        load_credentials({**O_KEY, **options}, {})
    assert "hunter2" not in caught.value.message


def test_a_password_may_hold_anything() -> None:
    options = {"username": "some one@example.com", "password": " pä ss\t", "developer_key": "k"}
    assert found(options, {}) == (None, "some one@example.com", " pä ss\t", "k")


@pytest.mark.parametrize(
    ("options", "environ", "expected"),
    [
        ({}, {}, "https://api.remot3.it/apv/v27"),
        ({}, {"REMOTEIT_API_URL": "https://api.remote.it/apv/v27/"}, "https://api.remote.it/apv/v27"),
        ({"api_url": "http://127.0.0.1:8080"}, {"REMOTEIT_API_URL": "https://e"}, "http://127.0.0.1:8080"),
    ],
)
def test_the_url_of_the_api(options: dict[str, str], environ: dict[str, str], expected: str) -> None:
    credentials = load_credentials({"token": "t", "developer_key": "k", **options}, environ)
    assert credentials.api_url == expected


@pytest.mark.parametrize(
    ("options", "environ", "expected"),
    [
        ({}, {}, "https://api.remote.it/graphql/v1"),
        ({}, {"REMOTEIT_GRAPHQL_URL": "http://127.0.0.1:1/v1/graphql/"}, "http://127.0.0.1:1/v1/graphql"),
        ({"graphql_url": "http://127.0.0.1:8080"}, {"REMOTEIT_GRAPHQL_URL": "https://e"}, "http://127.0.0.1:8080"),
    ],
)
def test_the_url_of_graphql(options: dict[str, str], environ: dict[str, str], expected: str) -> None:
    credentials = load_credentials({**O_KEY, **options}, environ)
    assert credentials.graphql_url == credentials.url == expected


@pytest.mark.parametrize("name", ["api_url", "graphql_url"])
@pytest.mark.parametrize(
    "url",
    [
        "api.remot3.it",
        "ftp://api.remot3.it",
        "https://",
        "https://a b/",
        "https://user:pw@api.remot3.it",
        "https://a/?x#y",
        "https://[::1",
        "https://a..b",
        f"https://{'a' * 64}.example.com",
        "https://a:b",
        "https://a:0",
        "https://a:65536",
        "https://:443",
        "https:///apv",
        "https://\u2100.com",
    ],
)
def test_a_url_that_is_none(name: str, url: str) -> None:
    with pytest.raises(OptionsError, match=f"^{name} is not the URL of an API"):
        load_credentials({"token": "t", "developer_key": "k", name: url}, {})


@pytest.mark.parametrize("password", ["hunter2", "hunter2/", "hunter2?", "hunter2#", "/hunter2", "1/hunter2"])
def test_a_refused_url_does_not_show_a_password(password: str) -> None:
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
def test_repr_and_fingerprint_show_no_secret(credentials: Credentials) -> None:
    for text in (repr(credentials), str(credentials), credentials.fingerprint()):
        assert "s3cret" not in text


def test_the_fingerprint_tells_accounts_apart_and_is_the_same_in_every_run() -> None:
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
def test_as_options_gives_back_the_same_credentials(credentials: Credentials) -> None:
    assert load_credentials(credentials.as_options(), {}) == credentials


def test_the_fingerprint_of_an_access_key() -> None:
    secret = Credentials(access_key_id=ACCESS_KEY_ID, secret_access_key="T3RoZXI=")
    others = [
        Credentials(access_key_id="OTHER", secret_access_key=SECRET_ACCESS_KEY),
        Credentials(access_key_id=ACCESS_KEY_ID, secret_access_key=SECRET_ACCESS_KEY, graphql_url="https://e"),
        Credentials(developer_key=ACCESS_KEY_ID, token=ACCESS_KEY_ID),
    ]
    fingerprint = WITH_ACCESS_KEY.fingerprint()
    assert fingerprint == "14a2927f7279-14a2927f7279"  # the same in every run
    assert secret.fingerprint() == fingerprint  # nothing of the secret is in it
    assert not any(is_same_account(fingerprint, other.fingerprint()) for other in others)


def test_the_forms_in_which_a_secret_could_show() -> None:
    secrets = Credentials(access_key_id="id", secret_access_key="-_-_aHVudGVyMg").secrets()
    assert {"id", "-_-_aHVudGVyMg", "+/+/aHVudGVyMg", b"\xfb\xff\xbfhunter2".hex()} <= set(secrets)
    assert any(secret.endswith("hunter2") for secret in secrets)


LOGIN = {"REMOTEIT_USERNAME": "me", "REMOTEIT_PASSWORD": "secret"}


@pytest.mark.parametrize(
    ("upper", "lower", "result"),
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
def test_two_environments(upper: dict[str, str], lower: dict[str, str], result: dict[str, str]) -> None:
    assert merge_environments(upper, lower) == result
