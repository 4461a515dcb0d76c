"""Packages of the wheel; all else stands in pyproject.toml, which has no words for a folder under another name."""

from setuptools import find_namespace_packages, setup

setup(
    packages=[*find_namespace_packages(include=["mamlprobe*"]), "mamlprobe.analyses"],
    package_dir={"mamlprobe.analyses": "analyses"},  # the scripts behind ``mamlprobe reproduce``
)
