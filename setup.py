"""What pyproject.toml has no words for: the folders of two trees, and scripts/ under a name fit for an environment."""

from setuptools import find_namespace_packages, setup

setup(
    packages=[*find_namespace_packages(include=["jaxmarks*", "pipelines*"]), "jaxmarks_commands"],
    package_dir={"jaxmarks_commands": "scripts"},
)
