# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Install the pip that Python contains, and with it the packages in the arguments."""

from __future__ import annotations

import os
import subprocess
import sys

environment = dict(os.environ)  # ensurepip removes the variables of pip

import ensurepip

ensurepip.bootstrap(default_pip=True)
packages = [word for word in sys.argv[1:] if word not in ("--no-setuptools", "--no-wheel")]
sys.exit(subprocess.call([sys.executable, "-m", "pip", "install", *packages], env=environment))
