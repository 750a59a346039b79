"""Stands in for get-pip.py: installs the arguments with the pip that comes with Python.

ansible-test runs it as `python get_pip.py [options] pip setuptools wheel`.
"""

import subprocess
import sys

UNKNOWN_TO_PIP = ("--no-setuptools", "--no-wheel")

subprocess.check_call([sys.executable, "-m", "ensurepip", "--upgrade"])
arguments = [a for a in sys.argv[1:] if a not in UNKNOWN_TO_PIP]
subprocess.check_call([sys.executable, "-m", "pip", "install", *arguments])
