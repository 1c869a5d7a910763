"""Opens the pages of ``asv publish`` in a browser, and fails where our benchmarks are not drawn there.

``python asv_benchmarks/check_pages.py`` wants ``asv run`` and ``asv publish`` first, and chromium. The plots are
drawn by a script from JSON, which a page from a file may not load: so a server is started for the moment.
"""
import functools
import http.server
import json
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

HTML = Path(__file__).resolve().parent / "html"


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


def opened(browser, url):
    """The page as it is when its scripts have run."""
    command = [
        browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1280,1024",
        "--virtual-time-budget=20000", "--dump-dom", url,
    ]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


def main():
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        print("the pages were NOT checked: no chromium here; 'apt-get install chromium' has one")
        return 0
    if not (HTML / "index.json").exists():
        sys.exit(f"no pages in {HTML}: run 'asv publish --config asv_benchmarks/asv.conf.json' first")
    names = sorted(json.loads((HTML / "index.json").read_text())["benchmarks"])
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(HTML)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    root = f"http://127.0.0.1:{server.server_port}/"
    grid = opened(browser, root)
    missing = [name for name in names if f'href="#{name}"' not in grid and f"#{name}?" not in grid]
    print(f"{len(names)} benchmarks, {len(names) - len(missing)} of them on the first page")
    failed = [f"{name} is not on the first page" for name in missing]
    # one page of each kind: with parameters and without, a time and a ratio
    for name in [names[0], names[-1], *[name for name in names if "track_" in name][:2]]:
        page = opened(browser, f"{root}#{name}")
        canvases = len(re.findall(r"<canvas[^>]*flot", page))
        print(f"{name}: {canvases} canvases")
        if not canvases:
            failed.append(f"{name} has no plot")
    server.shutdown()
    print(*failed, sep="\n")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
