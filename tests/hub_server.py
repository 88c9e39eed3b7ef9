"""A small stand-in for the Hugging Face Hub on loopback, for the real client to talk to.

It keeps everything in memory and answers what the client asks when a model is pushed or pulled:
repositories with branches and commits, private and gated ones, tokens, small files inside the
commit and large ones through the LFS protocol. Like the Hub it makes a commit visible as a whole
or not at all. It can be taken down, and told to cut the connection in the middle of a request.

Formats: https://huggingface.co/docs/hub/api and the client's own source.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
import struct
import threading
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

LFS_SUFFIXES = (".safetensors", ".bin")  # as .gitattributes of a new repository says


class Refused(Exception):
    """An answer that is not 200: the Hub says why in headers, and the client reads them there."""

    def __init__(self, status: int, message: str, code: str = "", body: dict | None = None) -> None:
        self.status, self.message, self.code = status, message, code
        self.body = {"error": message, **(body or {})}


@dataclass
class Repository:
    private: bool = False
    gated: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)  # hash → path → content
    branches: dict[str, str] = field(default_factory=dict)

    def commit(self, branch: str, tree: dict[str, bytes]) -> str:
        history = repr((branch, len(self.commits), sorted(tree)))
        oid = hashlib.sha1(history.encode()).hexdigest()
        self.commits[oid], self.branches[branch] = tree, oid
        return oid


class Hub:
    """The server: a context manager that listens on a free port of 127.0.0.1.

    tokens: token → user; a user may write to repositories of that name alone.
    requests: what was asked so far, as "METHOD /path".
    """

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.tokens: dict[str, str] = {}
        self.large: dict[str, bytes] = {}  # SHA-256 → content
        self.requests: list[str] = []
        self._cut, self._cuts = "", 0
        self._port = 0

    def __enter__(self) -> Hub:
        self.up()
        return self

    def __exit__(self, *_: object) -> None:
        self.down()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def up(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), _Handler)
        self._server.hub = self
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def down(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def add(self, repo: str, tree: dict[str, bytes], **traits: bool) -> str:
        """A repository, or a new commit in it; returns the commit's hash."""
        repository = self.repositories.setdefault(repo, Repository(**traits))
        return repository.commit("main", tree)

    def tree(self, repo: str, revision: str = "main") -> dict[str, bytes]:
        repository = self.repositories[repo]
        return repository.commits[repository.branches.get(revision, revision)]

    def cut(self, request: str, times: int = 10**9) -> None:
        """Requests whose "METHOD /path" begins so lose their connection half-way; 0 times: none."""
        self._cut, self._cuts = request, times

    def cuts(self, request: str) -> bool:
        found = self._cuts > 0 and request.startswith(self._cut)
        self._cuts -= found
        return found


class _Handler(BaseHTTPRequestHandler):
    """One request. By HTTP/1.0: a server that is down must not live on in open connections."""

    @property
    def hub(self) -> Hub:
        return self.server.hub

    def do_GET(self) -> None:
        self._answer()

    do_HEAD = do_POST = do_PUT = do_GET

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self) -> None:
        path = urlsplit(self.path).path
        request = f"{self.command} {unquote(path)}"
        self.hub.requests.append(request)
        self.cutting = self.hub.cuts(request)
        try:
            body = self._read()
            user = self._user()
            for method, pattern, action in ROUTES:
                if method == self.command.replace("HEAD", "GET") and (
                    found := re.fullmatch(pattern, path)
                ):
                    action(
                        self, user, body, **{k: unquote(v) for k, v in found.groupdict().items()}
                    )
                    return
            raise Refused(404, "Not found")
        except Refused as refused:
            headers = {"X-Error-Message": refused.message, "X-Error-Code": refused.code}
            self._send(refused.status, json.dumps(refused.body).encode(), headers)
        except ConnectionAbortedError:
            # without lingering, the close is a reset: the other side learns nothing else
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    # ------------------------------------------------------------ bytes

    def _read(self) -> bytes:
        size = int(self.headers.get("Content-Length", 0))
        if self.cutting and size:
            self.rfile.read(size // 2)
            raise ConnectionAbortedError
        return self.rfile.read(size)

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        headers["X-HF-Warning"] = "stand-in; The client logs what stands here, as the Hub may ask."
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.cutting:
            self.wfile.write(body[: len(body) // 2])
            raise ConnectionAbortedError
        self.wfile.write(body)

    def _json(self, value: object, status: int = 200) -> None:
        self._send(status, json.dumps(value).encode(), {"Content-Type": "application/json"})

    # ------------------------------------------------------------ who may do what

    def _user(self) -> str | None:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token and token not in self.hub.tokens:
            raise Refused(401, "Invalid credentials in Authorization header")
        return self.hub.tokens.get(token)

    def _repository(self, repo: str, user: str | None, write: bool = False) -> Repository:
        """The Hub does not tell a private repository from none, nor (over https) 401 from 404."""
        repository = self.hub.repositories.get(repo)
        owner = user == repo.split("/")[0]
        if repository is None or (repository.private and not owner):
            status = 404 if user else 401
            raise Refused(status, "Repository not found", "RepoNotFound")
        if write and not owner:
            raise Refused(403, "You don't have the rights to write here")
        return repository

    def _revision(self, repository: Repository, revision: str) -> str:
        commit = repository.branches.get(revision, revision)
        if commit not in repository.commits:
            raise Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return commit

    # ------------------------------------------------------------ reading

    def whoami(self, user: str | None, body: bytes) -> None:
        if user is None:
            raise Refused(401, "Invalid username or password.")
        self._json({"type": "user", "name": user})

    def info(self, user: str | None, body: bytes, repo: str, revision: str = "main") -> None:
        repository = self._repository(repo, user)
        commit = self._revision(repository, revision or "main")
        siblings = [{"rfilename": path} for path in repository.commits[commit]]
        if "blobs" in parse_qs(urlsplit(self.path).query):
            for sibling in siblings:
                sibling["size"] = len(repository.commits[commit][sibling["rfilename"]])
        self._json({"id": repo, "sha": commit, "private": repository.private, "siblings": siblings})

    def list_tree(self, user: str | None, body: bytes, repo: str, revision: str) -> None:
        repository = self._repository(repo, user)
        tree = repository.commits[self._revision(repository, revision)]
        self._json([_entry(path, content) for path, content in tree.items()])

    def resolve(self, user: str | None, body: bytes, repo: str, revision: str, path: str) -> None:
        repository = self._repository(repo, user)
        if repository.gated and user != repo.split("/")[0]:
            raise Refused(403, f"Access to model {repo} is restricted", "GatedRepo")
        commit = self._revision(repository, revision)
        if path not in repository.commits[commit]:
            raise Refused(404, "Entry not found", "EntryNotFound")
        content = repository.commits[commit][path]
        entry = _entry(path, content)
        headers = {"X-Repo-Commit": commit, "ETag": f'"{entry["oid"]}"'}
        if "lfs" in entry:
            headers["X-Linked-ETag"] = f'"{entry["lfs"]["oid"]}"'
            headers["X-Linked-Size"] = str(len(content))
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self._send(206 if start else 200, content[start:], headers)

    # ------------------------------------------------------------ writing

    def create(self, user: str | None, body: bytes) -> None:
        asked = json.loads(body)
        owner = asked["organization"] or user
        if user is None or owner != user:
            raise Refused(403 if user else 401, f"You don't have the rights to create for {owner}")
        repo = f"{owner}/{asked['name']}"
        url = {"url": f"{self.hub.url}/{repo}"}
        if repo in self.hub.repositories:
            raise Refused(409, "You already created this model repo", body=url)
        private = asked.get("visibility") == "private"
        self.hub.add(repo, {".gitattributes": b"*.safetensors filter=lfs\n"}, private=private)
        self._json(url)

    def branch(self, user: str | None, body: bytes, repo: str, branch: str) -> None:
        repository = self._repository(repo, user, write=True)
        if branch in repository.branches:
            raise Refused(409, "Reference already exists")
        start = json.loads(body).get("startingPoint", "main")
        repository.branches[branch] = self._revision(repository, start)
        self._json({}, 201)

    def validate_yaml(self, user: str | None, body: bytes) -> None:
        if not json.loads(body)["content"].startswith("---\n"):
            message = "Repo card metadata block was not found"
            raise Refused(400, message, body={"errors": [{"message": message}], "warnings": []})
        self._json({"errors": [], "warnings": []})

    def preupload(self, user: str | None, body: bytes, repo: str, revision: str) -> None:
        repository = self._repository(repo, user, write=True)
        tree = repository.commits[self._revision(repository, revision)]
        files = []
        for file in json.loads(body)["files"]:
            path = file["path"]
            mode = "lfs" if path.endswith(LFS_SUFFIXES) else "regular"
            known = {}
            if path in tree:
                entry = _entry(path, tree[path])
                known = {"oid": entry.get("lfs", entry)["oid"]}
            files.append({"path": path, "uploadMode": mode, "shouldIgnore": False, **known})
        self._json({"files": files})

    def lfs_batch(self, user: str | None, body: bytes, repo: str) -> None:
        self._repository(repo, user, write=True)
        objects = json.loads(body)["objects"]
        for item in objects:
            if item["oid"] not in self.hub.large:
                item["actions"] = {"upload": {"href": f"{self.hub.url}/lfs/{item['oid']}"}}
        self._json({"transfer": "basic", "objects": objects})

    def lfs_put(self, user: str | None, body: bytes, oid: str) -> None:
        if hashlib.sha256(body).hexdigest() != oid:
            raise Refused(400, "The content does not have that hash")
        self.hub.large[oid] = body
        self._send(200, b"", {})

    def commit(self, user: str | None, body: bytes, repo: str, revision: str) -> None:
        repository = self._repository(repo, user, write=True)
        tree = dict(repository.commits[self._revision(repository, revision)])
        if revision not in repository.branches:
            raise Refused(400, "A commit goes to a branch")
        for line in body.splitlines():
            operation = json.loads(line)
            key, value = operation["key"], operation["value"]
            if key == "file":
                tree[value["path"]] = base64.b64decode(value["content"])
            elif key == "lfsFile":
                if value["oid"] not in self.hub.large:
                    raise Refused(400, f"LFS pointer to a file that is not there: {value['path']}")
                tree[value["path"]] = self.hub.large[value["oid"]]
            elif key == "deletedFile":
                del tree[value["path"]]
            elif key != "header":
                raise Refused(HTTPStatus.NOT_IMPLEMENTED, f"This stand-in knows no {key}")
        oid = repository.commit(revision, tree)
        self._json({"commitUrl": f"{self.hub.url}/{repo}/commit/{oid}", "commitOid": oid})


def _entry(path: str, content: bytes) -> dict:
    """A file as the tree lists it; `oid` is git's, and that of a large file is its pointer's."""
    entry = {"type": "file", "path": path, "size": len(content)}
    if path.endswith(LFS_SUFFIXES):
        oid = hashlib.sha256(content).hexdigest()
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\n"
        pointer += f"size {len(content)}\n"
        entry["lfs"] = {"oid": oid, "size": len(content), "pointerSize": len(pointer)}
        content = pointer.encode()
    entry["oid"] = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    return entry


# A data set's repository is named datasets/user/repo here.
DATASET = r"(?P<repo>datasets/[^/]+/[^/]+)"
REPO, REVISION = r"(?P<repo>[^/]+/[^/]+)", r"(?P<revision>[^/]+)"
ROUTES = [
    ("GET", r"/api/whoami-v2", _Handler.whoami),
    ("GET", rf"/api/models/{REPO}", _Handler.info),
    ("GET", rf"/api/models/{REPO}/revision/{REVISION}", _Handler.info),
    ("GET", rf"/api/models/{REPO}/tree/{REVISION}", _Handler.list_tree),
    ("GET", rf"/api/{DATASET}/revision/{REVISION}", _Handler.info),
    ("GET", rf"/api/{DATASET}/tree/{REVISION}", _Handler.list_tree),
    ("GET", rf"/{DATASET}/resolve/{REVISION}/(?P<path>.+)", _Handler.resolve),
    ("GET", rf"/{REPO}/resolve/{REVISION}/(?P<path>.+)", _Handler.resolve),
    ("POST", r"/api/repos/create", _Handler.create),
    ("POST", r"/api/validate-yaml", _Handler.validate_yaml),
    ("POST", rf"/api/models/{REPO}/branch/(?P<branch>[^/]+)", _Handler.branch),
    ("POST", rf"/api/models/{REPO}/preupload/{REVISION}", _Handler.preupload),
    ("POST", r"/(?P<repo>[^/]+/[^/]+)\.git/info/lfs/objects/batch", _Handler.lfs_batch),
    ("PUT", r"/lfs/(?P<oid>[0-9a-f]{64})", _Handler.lfs_put),
    ("POST", rf"/api/models/{REPO}/commit/{REVISION}", _Handler.commit),
]
