from __future__ import annotations

import io
import zipfile

from ansible_collections.slipway.go.plugins.module_utils._deadman import archive


def test_the_archive_has_what_the_runner_imports_and_nothing_else():
    """It is written to the host each time that a change is armed."""
    with zipfile.ZipFile(io.BytesIO(archive.runner_archive())) as stream:
        names = {name for name in stream.namelist() if not name.endswith("__init__.py")}
    own = {"account_entries", "ending", "journal", "model", "runner", "snapshot", "store", "timer"}
    core = {"command", "descendants", "errors", "files", "json_lines", "paths", "safe_paths"}
    assert names == {
        "__main__.py",
        *(f"slipway_deadman/_deadman/{name}.py" for name in own),
        *(f"slipway_deadman/_core/{name}.py" for name in core),
    }
    assert len(archive.runner_archive()) < 32000
