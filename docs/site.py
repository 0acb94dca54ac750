"""The pages of the site that are not files of docs/: those of the project's root, and one for each module's docstrings."""

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "CONTRIBUTING.md", "BUILD.md", "CHANGELOG.md")
GUIDES = "guides.md"  # the list in docs/README.md, whose name is that of the first page


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The files of docs/ and these pages."""
    files.append(File.generated(config, GUIDES, content=(ROOT / "docs/README.md").read_text()))
    for name in PAGES:
        files.append(File.generated(config, name, content=(ROOT / name).read_text()))
    for path in sorted(p for top in ("jaxmarks", "pipelines") for p in (ROOT / top).rglob("*.py")):
        module = path.relative_to(ROOT).with_suffix("")
        name = ".".join(module.parts).removesuffix(".__init__")
        if path.read_text().strip():
            files.append(File.generated(config, f"reference/{name}.md", content=f"# {name}\n\n::: {name}\n"))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links between docs/ and the root, where all lie in one folder of the site."""
    return markdown.replace("](docs/README.md", f"]({GUIDES}").replace("](docs/", "](").replace("](../", "](")
