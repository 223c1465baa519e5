# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What nobody but this user can touch."""

from __future__ import annotations

import os
import pathlib
import typing as t

import pytest

from ansible_collections.remoteit.fleet.plugins.plugin_utils._run.private_files import create_locked, make_private_dir


def test_a_file_that_cannot_be_written_is_not_left(
    tmp_path: pathlib.Path, full_disk: t.Callable[..., t.ContextManager[None]]
) -> None:
    with full_disk(os.devnull, room=3), pytest.raises(OSError, match=r"No space|too large"):
        create_locked(str(tmp_path / "file"), b"a line\n")
    assert list(tmp_path.iterdir()) == []


def test_a_private_folder_is_made_and_taken_again(tmp_path: pathlib.Path) -> None:
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
        pytest.skip("only root can give a folder away")
    path.mkdir()
    os.chown(path, 12345, 12345)


@pytest.mark.parametrize(
    "make", [make_symlink, make_writable(0o720), make_writable(0o702), make_foreign, pathlib.Path.touch]
)
def test_a_folder_in_which_others_could_put_something_is_refused(
    tmp_path: pathlib.Path, make: t.Callable[[pathlib.Path], None]
) -> None:
    path = tmp_path / "folder"
    make(path)
    with pytest.raises(PermissionError, match="not a folder of this user alone"):
        make_private_dir(str(path))
