"""Opens the pages of ``asv publish`` in a browser, and fails where our benchmarks are not drawn there.

``python asv_benchmarks/check_pages.py`` wants ``asv run`` and ``asv publish`` first, and chromium. The plots are drawn
by a script from JSON, which a page from a file may not load: so a server is started for the moment. Scripts that the
pages load from elsewhere come from npm, in the same versions, so that a machine without more of a network will do.
"""
import functools
import http.server
import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
import threading
import urllib.error
import urllib.request
from pathlib import Path

HTML = Path(__file__).resolve().parent / "html"
# What the page calls it: npm's package, version and file.
SCRIPTS = {
    "jquery-3.3.1.min.js": ("jquery", "3.3.1", "dist/jquery.min.js"),
    "jquery.flot.min.js": ("flot", "0.8.3", "jquery.flot.js"),
    "jquery.flot.time.min.js": ("flot", "0.8.3", "jquery.flot.time.js"),
    "jquery.flot.selection.min.js": ("flot", "0.8.3", "jquery.flot.selection.js"),
    "jquery.flot.categories.min.js": ("flot", "0.8.3", "jquery.flot.categories.js"),
    "jquery.flot.orderBars.js": ("flot-orderbars", "1.0.0", "js/jquery.flot.orderBars.js"),
    "stupidtable.min.js": ("stupid-table-plugin", "1.1.3", "stupidtable.min.js"),
    "md5.min.js": ("blueimp-md5", "2.19.0", "js/md5.min.js"),
    "bootstrap.min.js": ("bootstrap", "3.1.1", "dist/js/bootstrap.min.js"),
    "bootstrap.min.css": ("bootstrap", "3.1.1", "dist/css/bootstrap.min.css"),
}


@functools.cache
def package(name, version):
    with urllib.request.urlopen(f"https://registry.npmjs.org/{name}/-/{name}-{version}.tgz", timeout=30) as answer:
        archive = tarfile.open(fileobj=io.BytesIO(answer.read()))
    return {member.name.split("/", 1)[-1]: archive.extractfile(member).read() for member in archive if member.isfile()}


class Pages(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        name = self.path.split("?")[0].lstrip("/")
        if name == "":
            page = (HTML / "index.html").read_text()
            elsewhere = r'"https://[^"]*/([^"/]+)" integrity="[^"]*" crossorigin="\w*"'
            self.answer(re.sub(elsewhere, r'"/\1"', page).encode())
        elif name in SCRIPTS:
            library, version, path = SCRIPTS[name]
            self.answer(package(library, version)[path])
        else:
            super().do_GET()

    def answer(self, data):
        self.send_response(200)
        self.send_header("Content-Type", self.guess_type(self.path) if self.path != "/" else "text/html")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


def opened(browser, url):
    """The page as it is when its scripts have run."""
    command = [
        browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        "--disable-background-networking", "--window-size=1280,1024", "--virtual-time-budget=20000", "--dump-dom", url,
    ]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


def main():
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        print("the pages were NOT checked: no chromium here; 'apt-get install chromium' has one")
        return 0
    if not (HTML / "index.json").exists():
        sys.exit(f"no pages in {HTML}: run 'asv publish --config asv_benchmarks/asv.conf.json' first")
    try:
        for library, version, _ in SCRIPTS.values():
            package(library, version)
    except urllib.error.URLError as error:
        print(f"the pages were NOT checked: their scripts are not to be had from npm: {error.reason}")
        return 0
    names = sorted(json.loads((HTML / "index.json").read_text())["benchmarks"])
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Pages, directory=str(HTML)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    root = f"http://127.0.0.1:{server.server_port}/"
    grid = opened(browser, root)
    missing = [name for name in names if f'href="#{name}"' not in grid and f"#{name}?" not in grid]
    print(f"{len(names)} benchmarks, {len(names) - len(missing)} of them on the first page")
    failed = [f"{name} is not on the first page" for name in missing]
    with_results = sorted(path.stem for path in (HTML / "graphs" / "summary").glob("*.json"))
    if not with_results:
        failed.append("no benchmark has a result")
    for name in with_results[:: max(1, len(with_results) // 4)]:
        page = opened(browser, f"{root}#{name}")
        # without data there is a canvas too, but no axis
        labels = re.findall(r"flot-tick-label[^>]*>([^<]+)<", page) if '<canvas class="flot-base"' in page else []
        print(f"{name}: {len(labels)} labels at its axes")
        if not labels:
            failed.append(f"{name} has no plot")
    server.shutdown()
    print(*failed, sep="\n")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
