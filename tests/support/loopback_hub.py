"""Simulate the Hub on 127.0.0.1, with the HTTP routes that pushing and loading a model need.

A process with the variables in `environment` uses it. All commits are kept with their files, so that a test can inspect
what a reader would have found at each.
"""

import base64
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

Files = dict[str, bytes]
NAME = r"(?P<repo>[\w.-]+/[\w.-]+)"


@dataclass
class Repo:
    """Hold the commits in order, as `oid: files`, and the branches that point at them."""

    private: bool
    commits: dict[str, Files] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)

    def commit(self, branch: str, files: Files) -> str:
        """Add a commit with exactly these files, and return its oid."""
        digest = hashlib.sha1(f"{len(self.commits)} {branch}".encode(), usedforsecurity=False)
        for path, content in sorted(files.items()):
            digest.update(path.encode() + content)
        self.branches[branch] = digest.hexdigest()
        self.commits[digest.hexdigest()] = files
        return digest.hexdigest()


class LoopbackHub:
    """Run the server as a context manager.

    `hold(pattern)` blocks matching requests, e.g. "PUT /lfs/...". The first one sets `reached`, and all continue once
    `released` is set. A blocked request has changed nothing yet.
    """

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.blobs: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.pattern: str | None = None
        self.reached, self.released = threading.Event(), threading.Event()
        handler = type("Handler", (_Handler,), {"hub": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.environment = {"HF_ENDPOINT": self.url, "HF_TOKEN": "hf_loopback", "HF_HUB_DISABLE_XET": "1"}

    def __enter__(self) -> "LoopbackHub":
        threading.Thread(target=self.server.serve_forever, args=[0.01], daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.released.set()
        self.server.shutdown()
        self.server.server_close()

    def hold(self, pattern: str) -> None:
        """Block matching requests until `released` is set."""
        self.pattern = pattern
        self.reached.clear()
        self.released.clear()

    def files(self, repo: str, branch: str = "main") -> Files:
        """Return the files on a branch."""
        return self.repos[repo].commits[self.repos[repo].branches[branch]]


def git_oid(content: bytes) -> str:
    """Return the Git object id of a file."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    hub: LoopbackHub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def answer(self, body: Any = None, status: int = 200, **headers: str) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def fail(self, status: int, code: str) -> None:
        self.answer({"error": code}, status, X_Error_Code=code, X_Error_Message=code)

    def handle_request(self) -> None:
        path = unquote(urlsplit(self.path).path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.hub.requests.append(f"{self.command} {path}")
        if self.hub.pattern and re.search(self.hub.pattern, self.hub.requests[-1]):
            self.hub.reached.set()
            self.hub.released.wait(60)
        writes = self.command in ("POST", "PUT") and "/lfs/" not in path
        if writes and not self.headers.get("Authorization", "").startswith("Bearer "):
            self.fail(401, "Unauthorized")
            return
        for method, pattern, route in ROUTES:
            if method == self.command.replace("HEAD", "GET") and (match := re.fullmatch(pattern, path)):
                fields = match.groupdict()
                if "repo" in fields and fields["repo"] not in self.hub.repos:
                    self.fail(404, "RepoNotFound")
                else:
                    getattr(self, route)(body, **fields)
                return
        self.fail(404, "NoSuchRoute")

    do_GET = do_HEAD = do_POST = do_PUT = handle_request

    def create_repo(self, body: bytes) -> None:
        asked = json.loads(body)
        name = f"{asked.get('organization') or 'tester'}/{asked['name']}"
        url = f"{self.hub.url}/{name}"
        if name in self.hub.repos:
            self.answer({"error": "exists", "url": url}, 409)
            return
        self.hub.repos[name] = repo = Repo(asked.get("visibility") == "private" or asked.get("private", False))
        repo.commit("main", {".gitattributes": b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"})
        self.answer({"url": url, "id": name})

    def create_branch(self, body: bytes, repo: str, branch: str) -> None:
        found = self.hub.repos[repo]
        if branch in found.branches:
            self.answer({"error": "exists"}, 409)
        else:
            found.branches[branch] = found.branches["main"]
            self.answer({})

    def validate_yaml(self, body: bytes) -> None:
        self.answer({"errors": [], "warnings": []})

    def who(self, body: bytes) -> None:
        self.answer({"name": "tester", "type": "user", "orgs": []})

    def preupload(self, body: bytes, repo: str, revision: str) -> None:
        here, files = self.hub.files(repo, revision), []
        for path in (file["path"] for file in json.loads(body)["files"]):
            large, content = path.endswith((".safetensors", ".bin")), here.get(path)
            oid = content and (hashlib.sha256(content).hexdigest() if large else git_oid(content))
            mode = "lfs" if large else "regular"
            files.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        self.answer({"files": files})

    def lfs_batch(self, body: bytes, repo: str) -> None:
        objects = []
        for item in json.loads(body)["objects"]:
            action = {"upload": {"href": f"{self.hub.url}/lfs/{item['oid']}"}}
            objects.append(item if item["oid"] in self.hub.blobs else item | {"actions": action})
        self.answer({"transfer": "basic", "objects": objects})

    def lfs_upload(self, body: bytes, oid: str) -> None:
        if hashlib.sha256(body).hexdigest() != oid:
            self.fail(400, "WrongHash")
            return
        self.hub.blobs[oid] = body
        self.answer({})

    def commit(self, body: bytes, repo: str, revision: str) -> None:
        found, lines = self.hub.repos[repo], [json.loads(line) for line in body.splitlines()]
        parent = found.branches[revision]
        files = dict(found.commits[parent])
        for key, value in ((line["key"], line["value"]) for line in lines):
            if key == "header" and value.get("parentCommit", parent) != parent:
                self.fail(412, "ParentChanged")
                return
            if key == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif key == "lfsFile":
                files[value["path"]] = self.hub.blobs[value["oid"]]
            elif key == "deletedFile":
                del files[value["path"]]
        oid = found.commit(revision, files)
        self.answer({"success": True, "commitOid": oid, "commitUrl": f"{self.hub.url}/{repo}/commit/{oid}"})

    def snapshot(self, repo: str, revision: str) -> tuple[str, Files] | None:
        found = self.hub.repos[repo]
        oid = found.branches.get(revision, revision)
        if oid in found.commits:
            return oid, found.commits[oid]
        self.fail(404, "RevisionNotFound")
        return None

    def info(self, body: bytes, repo: str, revision: str = "main") -> None:
        if found := self.snapshot(repo, revision):
            siblings = [{"rfilename": path} for path in sorted(found[1])]
            private = self.hub.repos[repo].private
            self.answer({"id": repo, "modelId": repo, "sha": found[0], "private": private, "siblings": siblings})

    def tree(self, body: bytes, repo: str, revision: str) -> None:
        if found := self.snapshot(repo, revision):
            self.answer(
                [
                    {"type": "file", "path": path, "size": len(content), "oid": hashlib.sha256(content).hexdigest()}
                    for path, content in sorted(found[1].items())
                ]
            )

    def resolve(self, body: bytes, repo: str, revision: str, path: str) -> None:
        if not (found := self.snapshot(repo, revision)):
            return
        oid, files = found
        if path not in files:
            self.answer({"error": path}, 404, X_Error_Code="EntryNotFound", X_Repo_Commit=oid)
        else:
            self.answer(files[path], ETag=f'"{hashlib.sha256(files[path]).hexdigest()}"', X_Repo_Commit=oid)


ROUTES = (
    ("POST", "/api/repos/create", "create_repo"),
    ("POST", "/api/validate-yaml", "validate_yaml"),
    ("GET", "/api/whoami-v2", "who"),
    ("POST", f"/api/models/{NAME}/branch/(?P<branch>.+)", "create_branch"),
    ("POST", f"/api/models/{NAME}/preupload/(?P<revision>.+)", "preupload"),
    ("POST", f"/{NAME}.git/info/lfs/objects/batch", "lfs_batch"),
    ("PUT", "/lfs/(?P<oid>[0-9a-f]{64})", "lfs_upload"),
    ("POST", f"/api/models/{NAME}/commit/(?P<revision>.+)", "commit"),
    ("GET", f"/api/models/{NAME}/revision/(?P<revision>.+)", "info"),
    ("GET", f"/api/models/{NAME}/tree/(?P<revision>[^/]+)", "tree"),
    ("GET", f"/api/models/{NAME}", "info"),
    ("GET", f"/{NAME}/resolve/(?P<revision>[^/]+)/(?P<path>.+)", "resolve"),
)
