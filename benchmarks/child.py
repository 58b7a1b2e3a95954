"""The fresh process in which one sample is taken: ``python -P child.py REQUEST``.

Run as a file, by the interpreter of the system's own environment, which has neither this project nor its
dependencies: so the package is loaded from beside this file, and only the standard library is used.
The answer is one line of JSON on standard output; whatever the measured system prints goes to standard error.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import sys
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn


def _load_package() -> None:
    here = Path(__file__).resolve().parent
    spec = importlib.util.spec_from_file_location(
        "benchmarks", here / "__init__.py", submodule_search_locations=[str(here)]
    )
    assert spec is not None
    assert spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules["benchmarks"] = package
    spec.loader.exec_module(package)


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Return what the plug-in says to *request*: its workloads (``probe``) or one sample."""
    from benchmarks.measure import use_clock
    from benchmarks.protocol import Job

    use_clock(request.get("clock", "wall"))
    plugin = importlib.import_module(f"benchmarks.systems.{request['module']}")
    if request.get("probe"):
        options = request["options"]
        versions = {name: importlib.metadata.version(name) for name in plugin.DISTRIBUTIONS}
        if hasattr(plugin, "versions"):
            versions.update(plugin.versions(options))
        return {
            "workloads": sorted(plugin.WORKLOADS),
            "versions": versions,
            "python": platform.python_version(),
        }
    job = Job(
        workload=request["workload"],
        operations=request["operations"],
        actors=request["actors"],
        scratch=Path(request["scratch"]),
        options=request["options"],
    )
    return asdict(plugin.WORKLOADS[job.workload](job))


def main() -> NoReturn:
    """Answer the request in ``sys.argv[1]``; exit with 1 and a traceback if that fails."""
    private = os.dup(1)
    os.dup2(2, 1)
    try:
        _load_package()
        reply = answer(json.loads(sys.argv[1]))
    except BaseException:
        traceback.print_exc()
        code = 1
    else:
        os.write(private, json.dumps(reply).encode() + b"\n")
        code = 0
    sys.stdout.flush()
    sys.stderr.flush()
    # A peer may leave threads that never end; the sample is taken, so nothing is waited for.
    os._exit(code)


if __name__ == "__main__":
    main()
