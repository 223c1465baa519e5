# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change or vanish in any release.
"""Read a profile of the vendor's credentials file: https://docs.remote.it/developer-tools/authentication"""

from __future__ import annotations

import configparser
import os
import re
import typing as t

from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.errors import OptionsError
from ansible_collections.remoteit.fleet.plugins.plugin_utils._api.values import sanitize

DEFAULT_CREDENTIALS_FILE = "~/.remoteit/credentials"
DEFAULT_PROFILE = "DEFAULT"
#: The limit for the file, in case its path is a device such as ``/dev/zero``.
MAX_FILE_BYTES = 1024 * 1024

#: A line of a shell script or of YAML that sets a value, for example ``export NAME=`` or ``- NAME:``.
_SCRIPT_LINE = re.compile(
    r"^[ \t]*(?!R3_)(?:\$env:|[^\s#;=:\[][^#;=:\n]*?(?::[ \t]*\n[ \t]+)?)"
    r"\b(R3_(?:ACCESS_KEY_ID|SECRET_ACCESS_KEY|DEVELOPER_API_KEY))\b",
    re.IGNORECASE | re.MULTILINE,
)


def file_and_profile(options: t.Mapping[str, t.Any], environ: t.Mapping[str, str]) -> tuple[str, str]:
    """Return the path of the file and the name of the profile."""
    path = options.get("credentials_file") or environ.get("REMOTEIT_CREDENTIALS_FILE") or DEFAULT_CREDENTIALS_FILE
    profile = options.get("profile") or environ.get("REMOTEIT_PROFILE") or DEFAULT_PROFILE
    return path, profile


def read_profile(options: t.Mapping[str, t.Any], environ: t.Mapping[str, str], *, needed: bool) -> dict[str, str]:
    """Return the values of the profile, by their names in capitals.

    :param needed: whether credentials are missing that may be in the file. The default file is not read without need.
    :raises OptionsError: the file cannot be read, or an option names a file or profile that does not exist.
    """
    path, profile = file_and_profile(options, environ)
    is_requested = path != DEFAULT_CREDENTIALS_FILE or profile != DEFAULT_PROFILE
    if not needed and not is_requested:
        return {}
    text = _read_file(path)
    if text is None and is_requested:
        raise OptionsError(f"the credentials file {path} does not exist")
    return {} if text is None else parse_profile(text, profile, path)


def _read_file(path: str) -> str | None:
    """Return the text of the credentials file, or ``None`` if it does not exist.

    :raises OptionsError: the file cannot be read.
    """
    expanded = os.path.expanduser(path)
    if not os.path.exists(expanded):
        return None
    try:
        with open(expanded, encoding="utf-8-sig") as stream:
            text = stream.read(MAX_FILE_BYTES)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise OptionsError(f"the credentials file {path} cannot be read: {reason}") from error
    if len(text) == MAX_FILE_BYTES:
        raise OptionsError(f"the credentials file {path} cannot be read: it is larger than {MAX_FILE_BYTES} bytes")
    return text


def parse_profile(text: str, profile: str, path: str) -> dict[str, str]:
    """Return the values of one profile, by their names in capitals. They can be empty.

    An exact match of the section name is preferred over a case-insensitive match. The keys above the first section are
    a fallback for the default profile. By default, ``configparser`` would refuse them, copy the values of ``[DEFAULT]``
    to every other profile, and interpolate ``%``.
    """
    if re.match(r'\s*(\{|\[\s*[{"])', text):
        raise OptionsError(
            f"the credentials file {path} is not an INI file, but JSON; write the line [{DEFAULT_PROFILE}] and then"
            " lines such as R3_ACCESS_KEY_ID=..."
        )
    if text.startswith("$ANSIBLE_VAULT"):
        raise OptionsError(
            f"the credentials file {path} is encrypted with Ansible Vault, and is not decrypted: set the variables"
            " remoteit_access_key_id and remoteit_secret_access_key in an encrypted file of group_vars instead"
        )
    script = _SCRIPT_LINE.search(text)
    if script is not None:
        raise OptionsError(
            f"the credentials file {path} is not an INI file: write {script[1].upper()}=... alone on line"
            f" {text.count(chr(10), 0, script.start(1)) + 1}, and remove what is in front of it"
        )
    parser = _parse(text, path)
    sections = parser.sections()
    found = [name for name in sections if name == profile]
    found += [name for name in sections if name.strip().lower() == profile.strip().lower()]
    if not found and profile.lower() == DEFAULT_PROFILE.lower():
        found = ["\0top"]
    if not found:
        known = _profiles(parser) or "none"
        raise OptionsError(f"the credentials file {path} has no profile {sanitize(profile)}; its profiles: {known}")
    values = {key.upper(): value for key, value in parser.items(found[0])}
    for key, value in values.items():
        if re.search(r"\nR3_", value, re.IGNORECASE):
            raise OptionsError(f"the credentials file {path} has an indented line below {key}: remove the indentation")
    return values


def _parse(text: str, path: str) -> configparser.RawConfigParser:
    """Parse the file. The keys above the first section are in the section ``\\0top``."""
    parser = configparser.RawConfigParser(default_section="\0", strict=False)
    try:
        parser.read_string("[\0top]\n" + text)
    except configparser.Error as error:
        line = getattr(error, "lineno", None) or (getattr(error, "errors", None) or [(None,)])[0][0]
        place = f" at line {line - 1}" if line else ""  # without the parser's text, which contains the line
        raise OptionsError(f"the credentials file {path} is not an INI file{place}") from None
    return parser


def list_profiles(path: str) -> str | None:
    """Return the names of the profiles with a key, as one text, or ``None`` if the file does not exist.

    :raises OptionsError: the file cannot be read.
    """
    text = _read_file(path)
    return None if text is None else _profiles(_parse(text, path))


def _profiles(parser: configparser.RawConfigParser) -> str:
    """Return the names of the profiles with a key, as one text. Another section can be a key in the wrong place."""
    names = [name for name in parser.sections() if name != "\0top"]
    return sanitize(", ".join(name for name in names if any(key.upper().startswith("R3_") for key in parser[name])))
