# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check the documentation site as a reader sees it: ``tests/check_site.py DIRECTORY``.

All links, anchors and images of the site must exist. Links to other sites must be valid URLs. With a browser, no page
is wider than a phone, and no text in an image is wider than its box.
"""

from __future__ import annotations

import functools
import html.parser
import http.server
import json
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

PHONE = 390  # pixels
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_BROWSER_OPTIONS = (
    *("--headless", "--no-sandbox", "--no-first-run", "--disable-gpu", "--disable-quic", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
    *("--virtual-time-budget=120000", "--dump-dom"),
)

_ELSEWHERE = re.compile(r"https?://[\w-]+(\.[\w-]+)+(/[!-~]*)?|mailto:[^@\s]+@[\w.-]+")

#: Load each page into a frame as wide as a phone, and list the text that overflows and cannot be scrolled to.
_MEASURE = """<!DOCTYPE html><iframe id="phone" style="width:%dpx;height:800px;border:0"></iframe><pre id="found"></pre>
<script>
// The texts of an image that are wider than the box in which they start.
function overflowing(image) {
  const boxes = [...image.querySelectorAll("rect, path")]
    .filter(one => one.ownerDocument.defaultView.getComputedStyle(one).fill !== "none")
    .map(one => one.getBoundingClientRect());
  return [...image.querySelectorAll("text")].filter(one => {
    const words = one.getBoundingClientRect(), middle = (words.top + words.bottom) / 2;
    return boxes.some(box => box.left <= words.left && words.left < box.right && box.top <= middle
      && middle < box.bottom && words.right > box.right - 3);
  }).map(one => one.textContent);
}
const frame = document.getElementById("phone"), pages = %s, found = {};
async function measure(page) {
  await new Promise(loaded => { frame.onload = loaded; frame.src = "/" + page; });
  await new Promise(settled => setTimeout(settled, 100)); // the theme wraps tables in scrollable elements
  const there = frame.contentDocument, width = there.documentElement.clientWidth;
  if (there.documentElement.tagName === "svg") {
    const out = overflowing(there);
    if (out.length) found[page] = out;
    return;
  }
  const scrolls = one => /auto|scroll/.test(frame.contentWindow.getComputedStyle(one).overflowX)
    && one.getBoundingClientRect().right <= width + 1;
  const seen = there.createTreeWalker(there.body, NodeFilter.SHOW_TEXT | NodeFilter.SHOW_ELEMENT), out = [];
  while (seen.nextNode()) {
    const one = seen.currentNode, range = there.createRange();
    if (one.nodeType === Node.TEXT_NODE ? !one.data.trim() : one.tagName !== "IMG") continue;
    range.selectNode(one);
    let above = one.parentElement;
    while (above && !scrolls(above)) above = above.parentElement;
    if (!above && range.getBoundingClientRect().right > width + 1) out.push(one.data || one.src);
  }
  if (out.length) found[page] = out.slice(0, 3);
}
(async () => {
  for (const page of pages) await measure(page);
  document.getElementById("found").textContent = "measured " + JSON.stringify(found);
})();
</script>"""


class Page(html.parser.HTMLParser):
    """The links, images and anchors of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.images: set[str] = set()
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        if tag in ("a", "link") and "href" in values:
            self.links.add(values["href"])
        if tag in ("img", "script", "object", "source"):
            self.images |= {values[name] for name in ("src", "data") if name in values}


def broken(site: Path, pages: dict[str, Page]) -> list[str]:
    """Return an error for each broken link."""
    found = []
    for name, page in pages.items():
        for link in sorted(page.links | page.images):
            url = urlsplit(urljoin(f"https:///{name}", link))
            there = unquote(url.path).lstrip("/")
            if url.scheme == "mailto" or url.netloc:
                if not _ELSEWHERE.fullmatch(link):
                    found.append(f"{name}: {link} is not a valid URL")
            elif not (site / there).is_file():
                found.append(f"{name}: {link} does not exist")
            elif url.fragment and there in pages and unquote(url.fragment) not in pages[there].anchors:
                found.append(f"{name}: {link} has no such anchor")
    return found


class _Handler(http.server.SimpleHTTPRequestHandler):
    """Serve the site, and the page that measures it."""

    def __init__(self, *arguments: object, measure: str, **options: object) -> None:
        self.measure = measure.encode()
        super().__init__(*arguments, **options)

    def do_GET(self) -> None:
        if self.path != "/measure":
            return super().do_GET()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        return self.wfile.write(self.measure) and None

    def log_message(self, *_unused: object) -> None:
        pass


class _Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *_unused: object) -> None:
        """Ignore errors: the browser closes connections before the end of a file."""


def too_wide(browser: str, site: Path, pages: list[str]) -> list[str]:
    """Return an error for each page that is too wide for a phone, and each image with too narrow boxes."""
    handler = functools.partial(_Handler, directory=str(site), measure=_MEASURE % (PHONE, json.dumps(pages)))
    with _Server(("127.0.0.1", 0), handler) as server, tempfile.TemporaryDirectory() as profile:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/measure"
        command = [browser, *_BROWSER_OPTIONS, f"--user-data-dir={profile}", address]
        dom = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout
        server.shutdown()
    measured = re.search(r"measured (\{.*?\})</pre>", dom)
    if not measured:
        return ["the browser did not measure the pages"]
    found = json.loads(html.unescape(measured[1]))
    return [f"{page} is too narrow for: {'; '.join(words)}" for page, words in found.items()]


def main(directory: str) -> str | None:
    site = Path(directory)
    pages = {str(path.relative_to(site)): Page(path.read_text()) for path in sorted(site.rglob("*.html"))}
    if not pages:
        return f"{site} has no pages"
    found = broken(site, pages)
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser:
        images = [str(path.relative_to(site)) for path in sorted(site.glob("_images/*.svg"))]
        found += too_wide(browser, site, [*pages, *images])
    links = sum(len(page.links | page.images) for page in pages.values())
    scope = (
        f"at the width of a phone with {browser}" if browser else "without their width, because no browser is installed"
    )
    print(f"{len(pages)} pages with {links} links were checked, {scope}")
    return "\n".join(found) or None


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
