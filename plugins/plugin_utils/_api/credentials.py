# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Where credentials come from: option, then environment, then file. The first level with a complete set wins."""

from __future__ import annotations

import base64
import configparser
import dataclasses
import hashlib
import os
import re
import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import NoCredentialsError, OptionsError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.transport import is_valid_url
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.values import sanitize

DEFAULT_API_URL = "https://api.remot3.it/apv/v27"
DEFAULT_GRAPHQL_URL = "https://api.remote.it/graphql/v1"
DEFAULT_CREDENTIALS_FILE = "~/.remoteit/credentials"
DEFAULT_PROFILE = "DEFAULT"
#: A credentials file has a few lines; a device has no end.
MAX_FILE_BYTES = 1024 * 1024

_ACCESS_KEY = ("access_key_id", "secret_access_key")
#: The sets that make a login, the best first.
_CREDENTIAL_SETS: tuple[tuple[str, ...], ...] = (_ACCESS_KEY, ("token",), ("username", "password"))
_NAMES = tuple(name for names in _CREDENTIAL_SETS for name in names)
#: The names of the access key in the environment and in the file. What else there is in the environment is called
#: C(REMOTEIT_) and the option's name in capitals.
_R3_VARIABLES = {"access_key_id": "R3_ACCESS_KEY_ID", "secret_access_key": "R3_SECRET_ACCESS_KEY"}
_DEVELOPER_KEY_ENVIRONMENT = ("REMOTEIT_DEVELOPER_KEY", "R3_DEVELOPER_API_KEY")

_MISSING_CREDENTIALS_HELP = (
    "give an access key (options access_key_id and secret_access_key; or R3_ACCESS_KEY_ID and R3_SECRET_ACCESS_KEY, in"
    " the environment or in the profile {profile} of {file}); or a token (option token or REMOTEIT_TOKEN), or a user"
    " name and a password (options username and password, or REMOTEIT_USERNAME and REMOTEIT_PASSWORD), and with either"
    " of the two a developer key (option developer_key, REMOTEIT_DEVELOPER_KEY, R3_DEVELOPER_API_KEY, or"
    " R3_DEVELOPER_API_KEY in that profile)"
)


@dataclasses.dataclass(frozen=True)
class Credentials:
    """What the API is shown. Nothing of it is ever printed, C(repr) included."""

    api_url: str = DEFAULT_API_URL
    developer_key: str | None = dataclasses.field(default=None, repr=False)
    token: str | None = dataclasses.field(default=None, repr=False)
    username: str | None = dataclasses.field(default=None, repr=False)
    password: str | None = dataclasses.field(default=None, repr=False)
    access_key_id: str | None = dataclasses.field(default=None, repr=False)
    secret_access_key: str | None = dataclasses.field(default=None, repr=False)
    graphql_url: str = DEFAULT_GRAPHQL_URL

    @property
    def url(self) -> str:
        """The URL of the API that these credentials speak."""
        return self.graphql_url if self.access_key_id else self.api_url

    def fingerprint(self) -> str:
        """A name for the account, and one for the login, that give nothing of the credentials away.

        Both are the same in every run, but that a new token is a new login. An access key is an account of its own: it
        does not tell whose it is.
        """
        account: tuple[str, ...] = (self.url, self.access_key_id or self.developer_key or "")
        login: tuple[str, ...] = () if self.access_key_id else (self.username or self.token or "",)
        return "-".join(
            hashlib.sha256("\0".join(part).encode()).hexdigest()[:12] for part in (account, account + login)
        )

    def as_options(self) -> dict[str, str]:
        """The module options that hold these credentials: all that is secret of them is C(no_log)."""
        return {key: value for key, value in dataclasses.asdict(self).items() if value is not None}

    def secrets(self) -> list[str]:
        """Everything that must not be shown, in every form in which it could be."""
        secrets = [self.developer_key, self.token, self.password, self.access_key_id, self.secret_access_key]
        if self.secret_access_key:
            key = hmac_key(self.secret_access_key)
            encoded = (base64.b64encode(key), base64.urlsafe_b64encode(key))
            secrets += [text.decode().rstrip("=") for text in encoded]
            secrets += [key.hex(), key.decode("utf-8", "replace"), key.decode("latin-1")]
        return [value for value in secrets if value]


def hmac_key(secret: str) -> bytes:
    """The key inside a secret access key: base64 of either alphabet, with or without padding.

    :raises OptionsError: it is neither. The secret is not shown.
    """
    text = secret.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        key = b""
    if not key:
        raise OptionsError("the secret_access_key is not base64; copy it again as a whole, without quotes and spaces")
    return key


def is_same_account(fingerprint: str, other: str) -> bool:
    """Whether they are of one developer key, if perhaps of two logins, or of one access key."""
    return fingerprint.split("-")[0] == other.split("-")[0]


def load_credentials(options: t.Mapping[str, t.Any], environ: t.Mapping[str, str]) -> Credentials:
    """Find the credentials.

    :param options: the module's options.
    :param environ: the environment, the task's laid over the process's.
    :raises OptionsError: the options contradict each other, or the file or its profile is not there.
    :raises NoCredentialsError: nothing complete was found; the message lists every way to give them.
    """
    given = {name: options[name] for name in _NAMES if options.get(name)}
    started = [names for names in _CREDENTIAL_SETS if any(name in given for name in names)]
    if len(started) > 1:
        raise OptionsError(
            "the options mix two sets of credentials: give either access_key_id and secret_access_key, or token, or"
            " username and password"
        )
    chosen = _first_complete_set(given)
    if started and not chosen:
        (missing,) = (name for name in started[0] if name not in given)
        raise OptionsError(f"the option {missing} is missing: {' and '.join(started[0])} belong together")

    in_environment = {name: environ.get(_R3_VARIABLES.get(name, f"REMOTEIT_{name.upper()}")) for name in _NAMES}
    chosen = chosen or _first_complete_set(in_environment)

    developer_key = options.get("developer_key")
    for name in _DEVELOPER_KEY_ENVIRONMENT:
        developer_key = developer_key or environ.get(name)
    enough = "access_key_id" in chosen or (chosen and developer_key)
    from_file = _read_profile(options, environ, needed=not enough)
    chosen = chosen or _first_complete_set({name: from_file.get(key) for name, key in _R3_VARIABLES.items()})

    if "access_key_id" not in chosen:
        developer_key = developer_key or from_file.get("R3_DEVELOPER_API_KEY")
        if not chosen or not developer_key:
            raise NoCredentialsError(_what_is_missing(bool(chosen), options, environ, from_file))
        chosen["developer_key"] = developer_key
    for name, value in chosen.items():
        if name not in ("username", "password") and not re.fullmatch(r"[!-~]+", value):
            raise OptionsError(f"the {name} holds white space or a character that cannot be sent in an HTTP header")
    if "access_key_id" in chosen:
        if re.search(r'["\\]', chosen["access_key_id"]):
            raise OptionsError("the access_key_id holds a quote or a backslash, so it is none")
        hmac_key(chosen["secret_access_key"])
    return Credentials(
        api_url=_url("api_url", DEFAULT_API_URL, options, environ),
        graphql_url=_url("graphql_url", DEFAULT_GRAPHQL_URL, options, environ),
        **chosen,
    )


def merge_environments(upper: t.Mapping[str, str], lower: t.Mapping[str, str]) -> dict[str, str]:
    """Two environments in one. A set of credentials comes from one of them: the upper one's, if it is complete."""
    names = {name: _R3_VARIABLES.get(name, f"REMOTEIT_{name.upper()}") for name in _NAMES}
    winner = upper if _first_complete_set({name: upper.get(key) for name, key in names.items()}) else lower
    rest = {key: value for key, value in {**lower, **upper}.items() if key not in names.values()}
    return {**rest, **{key: winner[key] for key in names.values() if key in winner}}


def _first_complete_set(level: t.Mapping[str, str | None]) -> dict[str, str]:
    """The best complete set of a level, if there is one."""
    for names in _CREDENTIAL_SETS:
        values = {name: value for name in names for value in [level.get(name)] if value}
        if len(values) == len(names):
            return values
    return {}


def _url(name: str, default: str, options: t.Mapping[str, t.Any], environ: t.Mapping[str, str]) -> str:
    url = options.get(name) or environ.get(f"REMOTEIT_{name.upper()}") or default
    if not re.fullmatch(r"https?://[^\s@?#]+", url) or not is_valid_url(url):
        # not shown: there may be a password in it
        raise OptionsError(f"{name} is not the URL of an API, without user name and query, such as {default}")
    return url.rstrip("/")


def _what_is_missing(
    has_login: bool,
    options: t.Mapping[str, t.Any],
    environ: t.Mapping[str, str],
    from_file: t.Mapping[str, str],
) -> str:
    path, profile = _file_and_profile(options, environ)
    how_to = _MISSING_CREDENTIALS_HELP.format(profile=profile, file=path)
    if has_login:
        return f"the developer key is missing: {how_to}"
    halves = [
        f"; {key} is there without {other}"
        for level in (environ, from_file)
        for key, other in (tuple(_R3_VARIABLES.values()), tuple(_R3_VARIABLES.values())[::-1])
        if level.get(key) and not level.get(other)
    ]
    return f"there are no credentials for remote.it: {how_to}{''.join(halves)}"


def _file_and_profile(options: t.Mapping[str, t.Any], environ: t.Mapping[str, str]) -> tuple[str, str]:
    path = options.get("credentials_file") or environ.get("REMOTEIT_CREDENTIALS_FILE") or DEFAULT_CREDENTIALS_FILE
    profile = options.get("profile") or environ.get("REMOTEIT_PROFILE") or DEFAULT_PROFILE
    return path, profile


def _read_profile(options: t.Mapping[str, t.Any], environ: t.Mapping[str, str], *, needed: bool) -> dict[str, str]:
    """The keys of the profile, by their names in capitals.

    :param needed: something is missing that may be in the file. A file or profile that was asked for has to be there
        in any case; the default one need not, and is not looked at for nothing.
    """
    path, profile = _file_and_profile(options, environ)
    wanted = path != DEFAULT_CREDENTIALS_FILE or profile != DEFAULT_PROFILE
    expanded = os.path.expanduser(path)
    if not needed and not wanted:
        return {}
    if not os.path.exists(expanded):
        if wanted:
            raise OptionsError(f"the credentials file {path} does not exist")
        return {}
    try:
        with open(expanded, encoding="utf-8-sig") as stream:
            text = stream.read(MAX_FILE_BYTES)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise OptionsError(f"the credentials file {path} cannot be read: {reason}") from error
    if len(text) == MAX_FILE_BYTES:
        raise OptionsError(f"the credentials file {path} is too large to be one")
    return parse_profile(text, profile, path)


def parse_profile(text: str, profile: str, path: str) -> dict[str, str]:
    """Read one profile of the vendor's INI file: U(https://docs.remote.it/developer-tools/authentication).

    The section's exact name comes first, then its name in any case, then, for the default profile, the keys above the
    first section. C(configparser) on its own would refuse the latter, spill C([DEFAULT]) into every other profile, and
    interpolate C(%).
    """
    parser = configparser.RawConfigParser(default_section="\0", strict=False)
    try:
        parser.read_string("[\0top]\n" + text)
    except configparser.Error as error:
        line = getattr(error, "lineno", None) or (getattr(error, "errors", None) or [(None,)])[0][0]
        where = f" at line {line - 1}" if line else ""  # not the parser's own text: it shows the line
        raise OptionsError(f"the credentials file {path} is not an INI file{where}") from None
    sections = parser.sections()
    found = [name for name in sections if name == profile]
    found += [name for name in sections if name.lower() == profile.lower()]
    if not found and profile.lower() == DEFAULT_PROFILE.lower():
        found = ["\0top"]
    if not found:
        known = sanitize(", ".join(name for name in sections if name != "\0top")) or "none"
        raise OptionsError(f"the credentials file {path} has no profile {sanitize(profile)}; it has: {known}")
    return {key.upper(): value for key, value in parser.items(found[0]) if value}
