"""What Sphinx is told. It reads from the root of the repository, so that links are those that people follow there."""

from __future__ import annotations

from importlib import metadata

project = "fssbench"
release = metadata.version("fssbench")
copyright = "the fssbench developers"

root_doc = "docs/index"
include_patterns = ["docs/**.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "benchmarks/README.md"]
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4
copybutton_prompt_text = "$ "

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True, "undoc-members": False}
napoleon_google_docstring = True
napoleon_use_ivar = True

html_theme = "furo"
html_title = f"fssbench {release}"
html_copy_source = False
html_theme_options = {"footer_icons": [], "top_of_page_buttons": []}
