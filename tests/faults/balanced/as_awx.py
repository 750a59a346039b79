"""Takes the words of an ansible-playbook and lets ansible-runner run it, as the container of an AWX job does."""

from __future__ import annotations

import json
import sys
import tempfile

import ansible_runner


def main(words: list[str]) -> int:
    """words: ansible-playbook PLAYBOOK -i INVENTORY -e VARIABLES."""
    playbook, inventory, variables = words[1], words[3], json.loads(words[5])
    with tempfile.TemporaryDirectory() as folder:
        done = ansible_runner.run(
            private_data_dir=folder, playbook=playbook, inventory=inventory, extravars=variables, cmdline="--forks 10"
        )
    print(f"ansible-runner: {done.status}")
    return int(done.rc)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
