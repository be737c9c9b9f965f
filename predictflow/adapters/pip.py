"""pip's settings, for uv, which does not read them."""

import os
import subprocess
import sys


def index() -> dict[str, str]:
    """pip's own package index as uv's variable; nothing where pip has none, or uv was told one already."""
    if "UV_DEFAULT_INDEX" in os.environ:
        return {}
    words = [sys.executable, "-m", "pip", "config", "get", "global.index-url"]
    asked = subprocess.run(words, capture_output=True, text=True)
    return {"UV_DEFAULT_INDEX": asked.stdout.strip()} if asked.stdout.strip() else {}
