# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Where credentials come from: option, then environment, then file. The first level with a complete set wins."""

from __future__ import annotations

import configparser
import dataclasses
import hashlib
import os
import re
import typing as t

from ansible_collections.remoteit.fleet.plugins.module_utils._errors import AuthError, OptionsError

DEFAULT_API_URL = "https://api.remot3.it/apv/v27"
DEFAULT_CREDENTIALS_FILE = "~/.remoteit/credentials"
DEFAULT_PROFILE = "DEFAULT"

#: The sets that make a login. Each option's environment variable is C(REMOTEIT_) and its name in capitals.
_SETS: tuple[tuple[str, ...], ...] = (("token",), ("username", "password"))
_DEVELOPER_KEY_ENVIRONMENT = ("REMOTEIT_DEVELOPER_KEY", "R3_DEVELOPER_API_KEY")

_HOW_TO = (
    "give a token (option token or REMOTEIT_TOKEN), or a user name and a password (options username and password, or"
    " REMOTEIT_USERNAME and REMOTEIT_PASSWORD); and with either a developer key (option developer_key,"
    " REMOTEIT_DEVELOPER_KEY, R3_DEVELOPER_API_KEY, or R3_DEVELOPER_API_KEY in the profile {profile} of {file})"
)


@dataclasses.dataclass(frozen=True)
class Credentials:
    """What the API is shown. Nothing of it is ever printed, C(repr) included."""

    api_url: str
    developer_key: str = dataclasses.field(repr=False)
    token: str | None = dataclasses.field(default=None, repr=False)
    username: str | None = dataclasses.field(default=None, repr=False)
    password: str | None = dataclasses.field(default=None, repr=False)

    def fingerprint(self) -> str:
        """A name for the account, and one for the login, that give nothing of the credentials away.

        Both are the same in every run, but that a new token is a new login.
        """
        account, login = (self.api_url, self.developer_key), (self.username or self.token or "",)
        return "-".join(
            hashlib.sha256("\0".join(part).encode()).hexdigest()[:12] for part in (account, account + login)
        )

    def as_options(self) -> dict[str, str]:
        """The module options that hold these credentials: all of them are C(no_log)."""
        return {key: value for key, value in dataclasses.asdict(self).items() if value is not None}

    def secrets(self) -> list[str]:
        return [value for value in (self.developer_key, self.token, self.password) if value]


def is_same_account(fingerprint: str, other: str) -> bool:
    """Whether they are of one developer key, if perhaps of two logins."""
    return fingerprint.split("-")[0] == other.split("-")[0]


def resolve(options: t.Mapping[str, t.Any], environ: t.Mapping[str, str]) -> Credentials:
    """Find the credentials.

    :param options: the module's options.
    :param environ: the environment, the task's laid over the process's.
    :raises OptionsError: the options contradict each other, or the file or its profile is not there.
    :raises AuthError: nothing complete was found; the message lists every way to give them.
    """
    given = {key: options[key] for key in ("token", "username", "password") if options.get(key)}
    complete = [names for names in _SETS if all(name in given for name in names)]
    if "token" in given and len(given) > 1:
        raise OptionsError("the options mix two sets of credentials: give either token, or username and password")
    if given and not complete:
        missing = "password" if "username" in given else "username"
        raise OptionsError(f"the option {missing} is missing: username and password belong together")

    chosen: dict[str, str] = given
    if not chosen:
        level = {name: environ.get(f"REMOTEIT_{name.upper()}") or "" for names in _SETS for name in names}
        for names in _SETS:
            if all(level[name] for name in names):
                chosen = {name: level[name] for name in names}
                break

    developer_key = options.get("developer_key")
    for name in _DEVELOPER_KEY_ENVIRONMENT:
        developer_key = developer_key or environ.get(name)
    from_file = _read_profile(options, environ, needed=not developer_key)
    developer_key = developer_key or from_file.get("R3_DEVELOPER_API_KEY")

    if not chosen or not developer_key:
        raise AuthError(_what_is_missing(bool(chosen), options, environ, from_file))
    for name, value in {**chosen, "developer_key": developer_key}.items():
        if name not in ("username", "password") and not re.fullmatch(r"[!-~]+", value):
            raise OptionsError(f"the {name} holds white space or a character that cannot be sent in an HTTP header")
    return Credentials(api_url=api_url(options, environ), developer_key=developer_key, **chosen)


def api_url(options: t.Mapping[str, t.Any], environ: t.Mapping[str, str]) -> str:
    url = options.get("api_url") or environ.get("REMOTEIT_API_URL") or DEFAULT_API_URL
    if not re.fullmatch(r"https?://[^\s/@?#]+(/[^\s?#]*)?", url):
        # not shown: there may be a password in it
        raise OptionsError(f"api_url is not the URL of an API, without user name and query, such as {DEFAULT_API_URL}")
    return url.rstrip("/")


def _what_is_missing(
    has_login: bool,
    options: t.Mapping[str, t.Any],
    environ: t.Mapping[str, str],
    from_file: t.Mapping[str, str],
) -> str:
    path, profile = _file_and_profile(options, environ)
    how_to = _HOW_TO.format(profile=profile, file=path)
    if has_login:
        return f"the developer key is missing: {how_to}"
    hint = ""
    if environ.get("R3_ACCESS_KEY_ID") or "R3_ACCESS_KEY_ID" in from_file:
        hint = "; the access key that was found cannot be used by this version"
    return f"there are no credentials for remote.it: {how_to}{hint}"


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
            return parse_profile(stream.read(), profile, path)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise OptionsError(f"the credentials file {path} cannot be read: {reason}") from error


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
        known = ", ".join(name for name in sections if name != "\0top") or "none"
        raise OptionsError(f"the credentials file {path} has no profile {profile}; it has: {known}")
    return {key.upper(): value for key, value in parser.items(found[0]) if value}
