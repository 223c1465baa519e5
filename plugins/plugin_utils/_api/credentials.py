# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Find the credentials: in the options, then the environment, then the file. The first complete set is used.

A profile or file that an option names comes before the environment. The keys of the environment are not used then,
because they can be those of another account.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import re
import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.credentials_file import (
    file_and_profile,
    list_profiles,
    read_profile,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import (
    NoCredentialsError,
    OptionsError,
    empty_option_error,
)
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.transport import is_valid_url
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.values import sanitize

DEFAULT_API_URL = "https://api.remot3.it/apv/v27"
DEFAULT_GRAPHQL_URL = "https://api.remote.it/graphql/v1"

_ACCESS_KEY = ("access_key_id", "secret_access_key")
#: The sets of options that are sufficient together, in the order of preference.
_CREDENTIAL_SETS: tuple[tuple[str, ...], ...] = (_ACCESS_KEY, ("token",), ("username", "password"))
_NAMES = tuple(name for names in _CREDENTIAL_SETS for name in names)
#: The names of the access key in the environment and in the file.
_R3_VARIABLES = {"access_key_id": "R3_ACCESS_KEY_ID", "secret_access_key": "R3_SECRET_ACCESS_KEY"}
#: The environment variable of each option.
_VARIABLES = {name: _R3_VARIABLES.get(name, f"REMOTEIT_{name.upper()}") for name in _NAMES}
_DEVELOPER_KEY_VARIABLES = ("REMOTEIT_DEVELOPER_KEY", "R3_DEVELOPER_API_KEY")
#: The environment variables that select an account.
_KEY_VARIABLES = (*_R3_VARIABLES.values(), *_DEVELOPER_KEY_VARIABLES)
#: The options that select a part of the credentials file.
_FILE_OPTIONS = ("profile", "credentials_file")

_MISSING_CREDENTIALS_HELP = (
    "give an access key (options access_key_id and secret_access_key; or R3_ACCESS_KEY_ID and R3_SECRET_ACCESS_KEY, in"
    " the environment or in the profile {profile} of {file}); or a token (option token or REMOTEIT_TOKEN), or a user"
    " name and a password (options username and password, or REMOTEIT_USERNAME and REMOTEIT_PASSWORD). A token or a"
    " password also needs a developer key (option developer_key, REMOTEIT_DEVELOPER_KEY, R3_DEVELOPER_API_KEY, or"
    " R3_DEVELOPER_API_KEY in that profile)"
)


@dataclasses.dataclass(frozen=True)
class Credentials:
    """The credentials of one account. Printing them shows no secret."""

    api_url: str = DEFAULT_API_URL
    developer_key: str | None = dataclasses.field(default=None, repr=False)
    token: str | None = dataclasses.field(default=None, repr=False)
    username: str | None = dataclasses.field(default=None, repr=False)
    password: str | None = dataclasses.field(default=None, repr=False)
    access_key_id: str | None = dataclasses.field(default=None, repr=False)
    secret_access_key: str | None = dataclasses.field(default=None, repr=False)
    graphql_url: str = DEFAULT_GRAPHQL_URL
    #: From where each value comes, in words.
    sources: str = dataclasses.field(default="", compare=False)

    @property
    def url(self) -> str:
        """Return the URL of the API that the credentials are for."""
        return self.graphql_url if self.access_key_id else self.api_url

    def fingerprint(self) -> str:
        """Return an identifier of the account and one of the login, which reveal nothing of the credentials.

        Both are the same in every run, except that a new token is a new login. An access key counts as an account,
        because it does not contain the account that it belongs to.
        """
        account: tuple[str, ...] = (self.url, self.access_key_id or self.developer_key or "")
        login: tuple[str, ...] = () if self.access_key_id else (self.username or self.token or "",)
        return "-".join(
            hashlib.sha256("\0".join(part).encode()).hexdigest()[:12] for part in (account, account + login)
        )

    def as_options(self) -> dict[str, str]:
        """Return the module options that contain these credentials. All secrets among them are ``no_log``."""
        options = {key: value for key, value in dataclasses.asdict(self).items() if value is not None}
        del options["sources"]
        return options

    def explain(self, message: str) -> str:
        """Return the message of a refusal with the sources of the credentials."""
        return f"{message}; credentials used: {self.sources}" if self.sources else message

    def secrets(self) -> list[str]:
        """Return everything that must not be printed, in every encoding in which it could occur."""
        secrets = [self.developer_key, self.token, self.password, self.access_key_id, self.secret_access_key]
        if self.secret_access_key:
            key = hmac_key(self.secret_access_key)
            encoded = (base64.b64encode(key), base64.urlsafe_b64encode(key))
            secrets += [text.decode().rstrip("=") for text in encoded]
            secrets += [key.hex(), key.decode("utf-8", "replace"), key.decode("latin-1")]
        return [value for value in secrets if value]


def hmac_key(secret: str) -> bytes:
    """Return the key in a secret access key, which is base64 of either alphabet, with or without padding.

    :raises OptionsError: it is not base64. The message does not contain the secret.
    """
    text = secret.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        key = b""
    if not key:
        raise OptionsError("the secret_access_key is not base64; copy it completely, without quotes and spaces")
    return key


def is_same_account(fingerprint: str, other: str) -> bool:
    """Return whether two fingerprints have the same developer key or access key. Their logins can differ."""
    return fingerprint.split("-")[0] == other.split("-")[0]


def load_credentials(
    options: t.Mapping[str, t.Any], environ: t.Mapping[str, str], variables: t.Mapping[str, str] | None = None
) -> Credentials:
    """Find the credentials.

    :param options: the options of the module or plugin.
    :param environ: the environment variables.
    :param variables: the host variable that sets each option, if they are not options of a task or of a file.
    :raises OptionsError: options contradict each other or are invalid, or a file that an option names cannot be read.
    :raises NoCredentialsError: there is no complete set; the message lists all ways to give one.
    """
    given_as = {name: f"the option {name}" for name in (*_NAMES, "developer_key", *_FILE_OPTIONS)}
    given_as.update((name, f"the variable {variable}") for name, variable in (variables or {}).items())
    named_by = next((given_as[name] for name in _FILE_OPTIONS if options.get(name)), None)
    unused = [name for name in _KEY_VARIABLES if named_by and environ.get(name)]
    environ = {name: value for name, value in environ.items() if name not in unused} if unused else environ
    chosen = _set_from_options(options, given_as)
    sources = {name: given_as[name] for name in chosen}
    developer_key, developer_key_source = _find_developer_key(options, environ, given_as)
    of_environment = _first_complete_set(_from_environment(environ))
    login = chosen or of_environment
    is_complete = not named_by and ("access_key_id" in login or bool(login and developer_key))
    from_file = read_profile(options, environ, needed=not is_complete)
    path, profile = file_and_profile(options, environ)
    in_file = f"in the profile {sanitize(profile)} of {path}"
    of_file = _first_complete_set({name: from_file.get(key) for name, key in _R3_VARIABLES.items()})
    sets = [(of_environment, "in the environment"), (of_file, in_file)]
    for found, place in reversed(sets) if named_by else sets:
        if found and not chosen:
            chosen = found
            sources = {name: f"{_VARIABLES[name]} {place}" for name in chosen}
    if "access_key_id" not in chosen:
        if not developer_key:
            developer_key = from_file.get("R3_DEVELOPER_API_KEY")
            developer_key_source = f"R3_DEVELOPER_API_KEY {in_file}"
        if not chosen or not developer_key:
            message = _missing_credentials(_list_sources(sources), options, environ, from_file)
            if unused:
                message += (
                    f"; {named_by} is set, so these variables of the environment are not used: {', '.join(unused)}"
                )
            raise NoCredentialsError(message)
        chosen["developer_key"] = developer_key
        sources["developer_key"] = developer_key_source
    _check_characters(chosen, sources)
    return Credentials(
        api_url=_url("api_url", DEFAULT_API_URL, options, environ),
        graphql_url=_url("graphql_url", DEFAULT_GRAPHQL_URL, options, environ),
        sources=_list_sources(sources),
        **chosen,
    )


def _list_sources(sources: t.Mapping[str, str]) -> str:
    return ", ".join(f"{name} from {source}" for name, source in sources.items())


def _find_developer_key(
    options: t.Mapping[str, t.Any], environ: t.Mapping[str, str], given_as: t.Mapping[str, str]
) -> tuple[str | None, str]:
    """Return the developer key of the option or the environment, and from where it comes."""
    if options.get("developer_key"):
        return options["developer_key"], given_as["developer_key"]
    for name in _DEVELOPER_KEY_VARIABLES:
        if environ.get(name):
            return environ[name], f"{name} in the environment"
    return None, ""


def _set_from_options(options: t.Mapping[str, t.Any], given_as: t.Mapping[str, str]) -> dict[str, str]:
    """Return the set of credentials in the options, or an empty dictionary.

    :raises OptionsError: a set is incomplete, or there are two. Without a set, an option is empty: the credentials of
        the environment can be those of another account.
    """
    given = {name: options[name] for name in _NAMES if options.get(name)}
    started = [names for names in _CREDENTIAL_SETS if any(name in given for name in names)]
    if len(started) > 1:
        raise OptionsError(
            f"the options mix two sets of credentials ({', '.join(given_as[name] for name in given)}): give either"
            " access_key_id and secret_access_key, or token, or username and password"
        )
    empty = next((name for name in (*_NAMES, *_FILE_OPTIONS) if options.get(name) == ""), None)
    if empty and not _first_complete_set(given):
        raise empty_option_error(given_as[empty], "use other credentials")
    for names in started:
        for name in names:
            if name not in given:
                raise OptionsError(f"{given_as[name]} is missing: {' and '.join(names)} belong together")
    return given


def _from_environment(environ: t.Mapping[str, str]) -> dict[str, str | None]:
    """Return the environment variable of each option."""
    return {name: environ.get(variable) for name, variable in _VARIABLES.items()}


def _check_characters(credentials: t.Mapping[str, str], sources: t.Mapping[str, str]) -> None:
    """Check that the credentials can be sent in HTTP headers. A user name and a password are sent in the body.

    :raises OptionsError: one contains a wrong character. The message does not contain the value, but its source.
    """
    for name, value in credentials.items():
        if name not in ("username", "password") and not re.fullmatch(r"[!-~]+", value):
            raise OptionsError(
                f"the {name} contains whitespace or a character that is not allowed in an HTTP header; it comes from"
                f" {sources[name]}"
            )
    if re.search(r'["\\]', credentials.get("access_key_id", "")):
        raise OptionsError(
            f"invalid access_key_id: it contains a quote or a backslash; it comes from {sources['access_key_id']}"
        )
    if "secret_access_key" in credentials:
        try:
            hmac_key(credentials["secret_access_key"])
        except OptionsError as error:
            raise error.reworded(f"{error.message}; it comes from {sources['secret_access_key']}") from None


def merge_environments(task: t.Mapping[str, str], process: t.Mapping[str, str]) -> dict[str, str]:
    """Merge the environment of a task into that of the process. A set of credentials comes from one of them only.

    If the task has a complete set, it is used; else the credentials of the process.
    """
    winner = task if _first_complete_set(_from_environment(task)) else process
    variables = set(_VARIABLES.values())
    others = {key: value for key, value in {**process, **task}.items() if key not in variables}
    return {**others, **{key: winner[key] for key in _VARIABLES.values() if key in winner}}


def _first_complete_set(values: t.Mapping[str, str | None]) -> dict[str, str]:
    """Return the preferred complete set of credentials among the values, or an empty dictionary."""
    for names in _CREDENTIAL_SETS:
        found = {name: value for name in names for value in [values.get(name)] if value}
        if len(found) == len(names):
            return found
    return {}


def _url(name: str, default: str, options: t.Mapping[str, t.Any], environ: t.Mapping[str, str]) -> str:
    url = options.get(name) or environ.get(f"REMOTEIT_{name.upper()}") or default
    if not re.fullmatch(r"https?://[^\s@?#]+", url) or not is_valid_url(url):
        # without the value, which may contain a password
        raise OptionsError(f"{name} is not the URL of an API, without user name and query, such as {default}")
    return url.rstrip("/")


def _missing_credentials(
    login: str,
    options: t.Mapping[str, t.Any],
    environ: t.Mapping[str, str],
    from_file: t.Mapping[str, str],
) -> str:
    """Return the message that credentials are missing. It lists halves of access keys.

    :param login: the sources of a login that lacks the developer key only.
    """
    path, profile = file_and_profile(options, environ)
    help_text = _MISSING_CREDENTIALS_HELP.format(profile=profile, file=path)
    if login:
        return f"the developer key is missing for the {login}: {help_text}"
    in_file = f"in the profile {sanitize(profile)} of {path}"
    places = ((environ, "in the environment"), (from_file, in_file))
    hints = [
        f"; {key} is there without {other} {place}"
        for values, place in places
        for key, other in (tuple(_R3_VARIABLES.values()), tuple(_R3_VARIABLES.values())[::-1])
        if values.get(key) and not values.get(other)
    ]
    if all(from_file.get(key) == "" for key in _R3_VARIABLES.values()):
        hints.append(f"; {' and '.join(_R3_VARIABLES.values())} are empty {in_file}")
    if from_file and not any(key.startswith("R3_") for key in from_file):
        hints.append(f"; the profile {sanitize(profile)} of {path} has no line that begins with R3_")
    unknown = [key for key in from_file if key.startswith("R3_") and key not in _KEY_VARIABLES]
    if unknown:
        hints.append(f"; {sanitize(', '.join(unknown))} {in_file} has another name than the keys above")
    profiles = None if from_file else list_profiles(path)
    if profiles:
        hints.append(
            f"; the profiles of {path} are {profiles}: set the option profile or REMOTEIT_PROFILE to one of them"
        )
    elif profiles is not None:
        hints.append(f"; the file {path} has no line that begins with R3_")
    return f"there are no credentials for remote.it: {help_text}{''.join(hints)}"
