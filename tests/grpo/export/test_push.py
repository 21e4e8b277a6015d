"""Pushing, against a local stand-in of the Hub's endpoints: private unless asked, and it says what is sent."""

from __future__ import annotations

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

pytest.importorskip("huggingface_hub")

from grpo.export.push import PushFailed, check_name, push
from rewards.errors import UserError


class StandIn(BaseHTTPRequestHandler):
    """The endpoints that an upload calls (huggingface_hub 1.33), with what they were sent kept on the server."""

    def log_message(self, *_):
        pass

    def _read(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            parts = []
            while size := int(self.rfile.readline().strip() or b"0", 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _send(self, value, code: int = 200) -> None:
        body = json.dumps(value).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        kept = self.server.kept
        if self.path.startswith("/api/models/") and not kept["refuse"]:
            self._send({"id": "me/model", "private": kept["private"], "sha": "0" * 40, "siblings": [], "tags": []})
        else:
            self._send({"error": "no such endpoint"}, 404)

    def do_PUT(self) -> None:
        self.server.kept["large"][self.path] = self._read()
        self._send({})

    def do_POST(self) -> None:
        kept, body = self.server.kept, self._read()
        if kept["refuse"]:
            self._send({"error": "You don't have the rights"}, 403)
        elif self.path == "/api/repos/create":
            kept["created"] = json.loads(body)
            if kept["private"] is None:
                kept["private"] = kept["created"].get("private", kept["created"].get("visibility") == "private")
            self._send({"url": f"{self.server.address}/me/model", "name": "me/model"})
        elif "/preupload/" in self.path:
            files = json.loads(body)["files"]
            self._send(
                {
                    "files": [
                        {
                            **f,
                            "uploadMode": "lfs" if f["path"].endswith("safetensors") else "regular",
                            "shouldIgnore": False,
                        }
                        for f in files
                    ]
                }
            )
        elif self.path.endswith("/info/lfs/objects/batch"):
            asked = json.loads(body)
            objects = [
                {**o, "authenticated": True, "actions": {"upload": {"href": f"{self.server.address}/large/{o['oid']}"}}}
                for o in asked["objects"]
            ]
            self._send({"transfer": "basic", "objects": objects})
        elif "/commit/" in self.path:
            for line in body.splitlines():
                entry = json.loads(line)
                if entry["key"] == "file":
                    kept["files"][entry["value"]["path"]] = base64.b64decode(entry["value"]["content"])
                elif entry["key"] == "lfsFile":
                    kept["files"][entry["value"]["path"]] = entry["value"]["oid"]
            self._send(
                {"commitUrl": f"{self.server.address}/me/model/commit/1", "commitOid": "1" * 40, "hookOutput": ""}
            )
        else:
            self._send({})


@pytest.fixture
def hub(monkeypatch):
    """A stand-in that runs, and what it was sent."""
    from huggingface_hub import constants

    server = ThreadingHTTPServer(("127.0.0.1", 0), StandIn)
    server.address = f"http://127.0.0.1:{server.server_address[1]}"
    server.kept = {"private": None, "created": None, "files": {}, "large": {}, "refuse": False}
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(constants, "ENDPOINT", server.address)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.hf_api.constants.ENDPOINT", server.address)
    yield server.kept
    server.shutdown()
    server.server_close()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "adapter").mkdir()
    (tmp_path / "README.md").write_text("# card\n", encoding="utf-8")
    (tmp_path / "adapter" / "adapter_config.json").write_text("{}", encoding="utf-8")
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    return tmp_path


def test_push_when_the_repository_is_new_then_private_and_every_file_is_named(hub, folder):
    """What is sent is said before it is sent."""
    said: list[str] = []
    push(folder, "me/model", public=False, say=said.append)
    assert hub["private"] is True
    assert set(hub["files"]) == {"README.md", "adapter/adapter_config.json", "model.safetensors"}
    assert list(hub["large"].values()) == [b"weights"]
    assert "3 files" in said[0] and "private repository me/model" in said[0]
    assert [line.split()[0] for line in said[1:]] == ["README.md", "adapter/adapter_config.json", "model.safetensors"]


def test_push_when_a_public_repository_is_there_then_nothing_is_sent_to_it_unasked(hub, folder):
    """Private by default is worth nothing if an old public one takes the files."""
    hub["private"] = False
    with pytest.raises(PushFailed, match="exists and is public"):
        push(folder, "me/model", public=False, say=lambda _: None)
    assert hub["files"] == {}
    push(folder, "me/model", public=True, say=lambda _: None)
    assert "README.md" in hub["files"]


def test_push_when_the_hub_refuses_then_one_line_and_the_export_is_whole(hub, folder):
    """The files on this machine are not lost with the upload."""
    hub["refuse"] = True
    with pytest.raises(PushFailed, match=r"refused .* is whole"):
        push(folder, "me/model", public=False, say=lambda _: None)


@pytest.mark.parametrize(
    ("name", "token", "said"),
    [("model", "t", "organisation/name"), ("a/b/c", "t", "not a name"), ("me/model", "", "HF_TOKEN")],
)
def test_name_when_it_cannot_work_then_said_before_anything_is_exported(name, token, said, monkeypatch, tmp_path):
    """An hour of export is not spent for a missing token."""
    from huggingface_hub import constants

    monkeypatch.setenv("HF_TOKEN", token)
    monkeypatch.delenv("HUGGING_FACE_HUB_TOKEN", raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    with pytest.raises(UserError, match=said):
        check_name(name)


def test_push_when_the_base_is_a_folder_here_then_nothing_that_is_sent_names_it(hub, write_run, tmp_path, capsys):
    """Neither the adapter, nor the card, nor the record: a machine's folders are nobody's business, and of no use to others."""
    pytest.importorskip("torch")
    from grpo.export.__main__ import main

    words = [str(write_run()), "--to", str(tmp_path / "out"), "--format", "adapter", "--push", "me/model"]
    assert main(words) == 0
    assert "write its Hub id into base_model_name_or_path of out" not in capsys.readouterr().err
    assert set(hub["files"]) >= {"README.md", "export.json", "adapter_config.json"}
    told = {name: content for name, content in hub["files"].items() if isinstance(content, bytes)}
    assert [name for name, content in told.items() if str(tmp_path).encode() in content] == []
    assert json.loads(told["adapter_config.json"])["base_model_name_or_path"] == "chatml"
    assert "me/model" in told["README.md"].decode()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Qwen/Qwen3-0.6B", "Qwen/Qwen3-0.6B"),
        ("/home/me/models--Qwen--Qwen3-0.6B/snapshots/c1899de2", "Qwen/Qwen3-0.6B"),
        ("~/models/mine", "mine"),
    ],
)
def test_name_when_it_is_told_to_others_then_a_hub_id_or_the_last_part_of_a_folder(name, said):
    """What lies in the Hub's cache has a name that everybody can use."""
    from grpo.export.published import hub_name, public_name

    assert public_name(name) == said
    assert hub_name(name) == (said if "/snapshots/" in name else name)
