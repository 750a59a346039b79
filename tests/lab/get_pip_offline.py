"""Stands in for get-pip.py: installs the arguments with the pip that comes with Python.

ansible-test runs it as `python get_pip.py [options] pip setuptools wheel`, in an empty environment per sanity test.
What the first environment of a Python version gets is kept beside this file and copied into the others.
"""

import os
import shutil
import subprocess
import sys
import sysconfig

UNKNOWN_TO_PIP = ("--no-setuptools", "--no-wheel")

arguments = [a for a in sys.argv[1:] if a not in UNKNOWN_TO_PIP]
packages = sysconfig.get_path("purelib")
name = "_".join([sys.implementation.cache_tag, *(a for a in arguments if not a.startswith("-"))])
kept = os.path.join(os.path.dirname(os.path.abspath(__file__)), name)

if os.path.isdir(kept):
    shutil.copytree(kept, packages, dirs_exist_ok=True)
else:
    subprocess.check_call([sys.executable, "-m", "ensurepip", "--upgrade"])
    subprocess.check_call([sys.executable, "-m", "pip", "install", *arguments])
    partial = f"{kept}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(packages, partial)
    os.rename(partial, kept)
