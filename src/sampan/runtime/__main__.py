"""`sampan-runtime`, first stage: the same interpreter again, sealed (`linux/seal.py`) and isolated, then the command.

It imports next to nothing, because it is paid at every call. What follows knows no site-packages, no
environment variable of Python's and no current folder: whoever calls a runtime as root may not choose its code.
"""

from __future__ import annotations

import os
import sys

from sampan.linux import seal

NAME = "sampan-runtime"


def entry() -> None:
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    code = (
        f"import sys; sys.path.append({root!r}); sys.argv[0] = {NAME!r}; "
        "from sampan.runtime.main import entry; entry()"
    )
    seal.run_sealed([sys.executable, "-I", "-S", "-B", "-c", code, *sys.argv[1:]], os.environ)


if __name__ == "__main__":
    entry()
