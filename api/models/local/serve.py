"""A child process that serves one model file in OpenAI's format on the loopback interface.

Run as a file, with the settings as one line of JSON on standard input. It answers with one line on
standard output, ``{"address": ...}`` or ``{"error": ...}``, and ends when standard input closes:
that happens whatever way the parent ends, so no server is ever left behind.
"""

import importlib
import json
import os
import sys
from typing import Any


def main() -> None:
    settings: dict[str, Any] = json.loads(sys.stdin.readline())
    # What the native code prints must not be taken for the answer.
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        server = start(settings)
    except BaseException as error:
        said = {"error": f"{type(error).__name__}: {error}"}
    else:
        said = {"address": server.listening_address}
    print(json.dumps(said), file=answer, flush=True)
    if "address" in said:
        sys.stdin.read()
    # Tearing the native server down waits for a generation in progress; the process just goes.
    os._exit(0)


def start(settings: dict[str, Any]) -> Any:
    """Load the model and return the running server."""
    xllamacpp: Any = importlib.import_module("xllamacpp")
    params = xllamacpp.CommonParams()
    params.model.path = settings["path"]
    params.model_alias = {settings["name"]}
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [settings["api_key"]]
    params.n_ctx = settings["context"]
    params.n_parallel = settings["parallel"]
    params.kv_unified = True
    params.cache_ram_mib = 0
    params.cpuparams.n_threads = settings["threads"]
    params.cpuparams_batch.n_threads = settings["threads"]
    params.ui = False
    params.verbosity = -1
    return xllamacpp.Server(params)


if __name__ == "__main__":
    main()
