# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of Sphinx for the documentation site: ``make docs``."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

project = "remoteit.fleet"
copyright = "remoteit.fleet contributors"
title = "remoteit.fleet: reach a fleet through remote.it"
html_short_title = "remoteit.fleet"

extensions = ["sphinx_antsibull_ext"]
html_theme = "sphinx_ansible_theme"
html_theme_options = {"display_version": False}
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_use_index = False
html_copy_source = False
pygments_style = "ansible"
highlight_language = "YAML+Jinja"
default_role = "any"
smartquotes = False  # they would change options and links

_ANSIBLE = "https://docs.ansible.com/projects/ansible/latest/"

#: References to the documentation of Ansible. Sphinx would download an index to resolve them.
_LABELS = {
    "action_plugins": "plugins/action.html",
    **{
        f"ansible_collections.ansible.builtin.{name}": f"collections/ansible/builtin/{name}.html"
        for name in ("env_lookup", "free_strategy", "ssh_connection")
    },
    "ansible_configuration_settings": "reference_appendices/config.html",
    "common_return_values": "reference_appendices/common_return_values.html",
}


def _link_to_ansible(app: Sphinx, env: BuildEnvironment, node: pending_xref, words: nodes.Element) -> nodes.Node | None:
    page = _LABELS.get(node["reftarget"])
    return nodes.reference("", "", words, internal=False, refuri=_ANSIBLE + page) if page else None


def _link_to_the_start(app: Sphinx, page: str, template: str, context: dict[str, Any], tree: nodes.document) -> None:
    context["theme_documentation_home_url"] = context["pathto"](app.config.root_doc)


def _words(app: Sphinx, tree: nodes.document) -> None:
    """Replace double hyphens with dashes, and correct the capitals of the name of the collection."""
    for text in list(tree.findall(nodes.Text)):
        better = text.replace(" -- ", " \N{EN DASH} ").replace("Remoteit.Fleet", project)
        if better != text and isinstance(text.parent, (nodes.title, nodes.paragraph, nodes.reference)):
            text.parent.replace(text, nodes.Text(better))


def setup(app: Sphinx) -> None:
    app.connect("doctree-read", _words, priority=400)  # before the titles are collected
    app.connect("html-page-context", _link_to_the_start)
    app.connect("missing-reference", _link_to_ansible)
