# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Directories and files that only this user can change."""

from __future__ import annotations

import os
import pathlib
import typing as t

import pytest

from ansible_collections.remoteit.fleet.plugins.plugin_utils._run.private_files import create_locked, make_private_dir


def test_create_locked_leaves_no_file_on_a_full_disk(
    tmp_path: pathlib.Path, full_disk: t.Callable[..., t.ContextManager[None]]
) -> None:
    with full_disk(os.devnull, room=3), pytest.raises(OSError, match=r"No space|too large"):
        create_locked(str(tmp_path / "file"), b"a line\n")
    assert list(tmp_path.iterdir()) == []


def test_make_private_dir_accepts_its_own_directory(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a" / "b"
    make_private_dir(str(path))
    make_private_dir(str(path))
    assert path.stat().st_mode & 0o777 == 0o700


def make_symlink(path: pathlib.Path) -> None:
    (path.parent / "target").mkdir(mode=0o700)
    path.symlink_to(path.parent / "target")


def make_writable(mode: int) -> t.Callable[[pathlib.Path], None]:
    def make(path: pathlib.Path) -> None:
        path.mkdir()
        path.chmod(mode)

    return make


def make_foreign(path: pathlib.Path) -> None:
    if os.geteuid():
        pytest.skip("only root can change the owner of a directory")
    path.mkdir()
    os.chown(path, 12345, 12345)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (make_symlink, "it is a symbolic link"),
        (make_writable(0o720), "other users can write to it. Run: chmod 700 "),
        (make_writable(0o702), "other users can write to it. Run: chmod 700 "),
        (make_foreign, "it belongs to another user"),
        (pathlib.Path.touch, "it is a file"),
    ],
)
def test_make_private_dir_refuses_a_shared_directory(
    tmp_path: pathlib.Path, make: t.Callable[[pathlib.Path], None], reason: str
) -> None:
    path = tmp_path / "directory"
    make(path)
    with pytest.raises(PermissionError, match=f"not a private directory of this user, because {reason}"):
        make_private_dir(str(path))
