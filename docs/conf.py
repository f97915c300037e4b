"""Configure the documentation site; `make docs` builds it strictly and offline."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import auvmae  # noqa: E402

project = "AU-vMAE"
author = "The AU-vMAE developers"
copyright = author
version = release = auvmae.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
extensions += ["command_flags", "docstring_markup"]  # files of this folder
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
smartquotes_action = "D"  # dashes only: quotes stay as they are typed
default_role = "code"  # docstrings have single backquotes, as in Markdown
napoleon_numpy_docstring = False
napoleon_use_param = True
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True

# The build is offline, so names of other packages cannot be resolved. Names of ours must be, in signatures and in text.
nitpick_ignore_regex = [
    (r"py:.*", r"(?!auvmae\.).*\..*"),
    (r"py:class", r"[^.]*"),  # words of a docstring's type, such as "shape": classes in signatures have their module
    (r"py:class", r"auvmae\.video\.damage\.faults\.Faults"),  # not public
    (r"py:exc", r"(ImportError|KeyError|OSError|FileNotFoundError|IndexError|TypeError|ValueError|FloatingPointError)"),
]

html_theme = "furo"
html_title = f"AU-vMAE {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
copybutton_prompt_text = r"\$ |>>> |\.\.\. "
copybutton_prompt_is_regexp = True
copybutton_selector = "div.highlight-bash pre, div.highlight-python pre"  # what was printed is not to be copied
