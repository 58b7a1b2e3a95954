"""Maps the layers at the repository's top to one import name, with every sub-package they have.

Everything else about the project stands in pyproject.toml. The mapping is code because only code
can find the sub-packages; nothing generic (`actors`, `supervision`) must reach site-packages' top.
"""

import shutil
from pathlib import Path

from setuptools import find_packages, setup

LAYERS = {
    "agenticaiframework": "api",
    "agenticaiframework.actors": "actors",
    "agenticaiframework.patterns": "patterns",
    "agenticaiframework.supervision": "supervision",
}

# setuptools builds in this folder and never empties it, so that modules which are gone by now would
# still go into a wheel.
shutil.rmtree(Path(__file__).parent / "build" / "lib", ignore_errors=True)

setup(
    packages=[
        ".".join(filter(None, (name, sub)))
        for name, folder in LAYERS.items()
        for sub in ("", *find_packages(folder))
    ],
    package_dir=LAYERS,
    package_data={
        "agenticaiframework": ["py.typed"],
        "agenticaiframework.observer": ["static/*", "templates/*.html", "templates/parts/*.html"],
    },
)
