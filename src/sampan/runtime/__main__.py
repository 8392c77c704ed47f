"""`sampan-runtime`, first stage: the same interpreter again, sealed (`linux/seal.py`) and isolated, then the command.

Who started us may have seen to that already (`pack.py`). It imports next to nothing, because it is paid at every
call. What follows knows no site-packages, no environment variable of Python's and no current folder: whoever
calls a runtime as root may not choose its code.
"""

from __future__ import annotations

import os
import sys

from sampan.linux import seal


def entry() -> None:
    sys.argv[0] = "sampan-runtime"
    if seal.is_sealed() and sys.flags.isolated and sys.flags.no_site:
        from sampan.runtime.main import entry as run

        run()
    from sampan.runtime.pack import BOOT

    site = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    seal.run_sealed([sys.executable, "-ISBc", BOOT, site, *sys.argv[1:]], os.environ)


if __name__ == "__main__":
    entry()
