"""Settings of the documentation site: `make docs`, or `sphinx-build -W --keep-going docs build/docs`."""

from __future__ import annotations

import logging
import pathlib
import re
from importlib.metadata import version as installed_version

# What pydoctor cannot read in correct code: regular expressions newer than Python 3.10's, control characters in a
# constant, and a zope Interface whose base is Twisted's.
_LIMITS_OF_PYDOCTOR = re.compile(
    r"Cannot colorize regular expression|bad rendering of constant"
    r"|Class \"emailsys\.interfaces\.[\w.]+\" is not an interface"
)
_CHECKOUT = pathlib.Path(__file__).resolve().parent.parent

project = "emailsys"
author = "the emailsys developers"
copyright = "2026, the emailsys developers"
release = version = installed_version("emailsys")

extensions = ["myst_parser", "pydoctor.sphinx_ext.build_apidocs"]
root_doc = "index"
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["newsfragments"]
# `decisions/0002-group-commit.md#why` and the like are checked, not only the files.
myst_heading_anchors = 3
# Most command blocks mix commands, their output and configuration: no lexer fits.
highlight_language = "none"

html_theme = "furo"
html_title = f"emailsys {release}"
# The guide to deploying links to the unit.
html_extra_path = ["emailsys.service"]
html_show_sphinx = False

# The API reference, from the docstrings, in build/docs/api.
pydoctor_args = [
    "--quiet",
    "--project-name=emailsys",
    f"--project-version={release}",
    "--docformat=epytext",
    "--theme=readthedocs",
    f"--project-base-dir={_CHECKOUT}",
    "--html-output={outdir}/api",
    str(_CHECKOUT / "emailsys"),
]
# No inventory is read: pages name modules, they do not link to them.
pydoctor_url_path = {"main": ""}


class _Limits(logging.Filter):
    """Drop the warnings that tell of a limit of pydoctor, not of a fault in a docstring."""

    def filter(self, record: logging.LogRecord) -> bool:
        return _LIMITS_OF_PYDOCTOR.search(record.getMessage()) is None


logging.getLogger("sphinx.pydoctor.sphinx_ext.build_apidocs").addFilter(_Limits())
