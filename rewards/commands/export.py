"""Write what another system needs to run our rewards by itself: `nemo-gym`, a resources server's folder."""

from __future__ import annotations

import argparse
from pathlib import Path

from rewards.errors import UserError

EXAMPLES = """\
examples:
  python -m rewards export nemo-gym Gym/resources_servers/recompensa --config rewards.yaml
  python -m rewards export nemo-gym Gym/resources_servers/recompensa --url http://127.0.0.1:8800

Then the rows: python -m rewards rows --for nemo-gym --input train.jsonl --output train.gym.jsonl
"""

_APP = '''\
"""A resources server of NeMo Gym over the rewards of recompensa; written by `rewards export nemo-gym`."""

from pathlib import Path
from typing import Any

from nemo_gym.base_resources_server import (
    BaseResourcesServerConfig,
    BaseVerifyRequest,
    BaseVerifyResponse,
    SimpleResourcesServer,
)
from pydantic import ConfigDict

from rewards.adapters.nemo_gym import verify


class RecompensaConfig(BaseResourcesServerConfig):
    rewards: str = "rewards.yaml"
    recompensa_url: str | None = None


class RecompensaRequest(BaseVerifyRequest):
    model_config = ConfigDict(extra="allow")


class RecompensaResponse(BaseVerifyResponse):
    model_config = ConfigDict(extra="allow")


class RecompensaServer(SimpleResourcesServer):
    config: RecompensaConfig

    async def verify(self, body: RecompensaRequest) -> RecompensaResponse:
        answer: dict[str, Any] = await verify(
            body.model_dump(mode="json"),
            config=str(Path(__file__).parent / self.config.rewards),
            url=self.config.recompensa_url,
        )
        return RecompensaResponse(**answer)


if __name__ == "__main__":
    RecompensaServer.run_webserver()
'''

_CONFIG = """\
recompensa:
  resources_servers:
    recompensa:
      entrypoint: app.py
      domain: knowledge
      verified: false
      description: Exact structured answers, judged by the rewards of recompensa
      rewards: rewards.yaml
      recompensa_url: {url}
recompensa_simple_agent:
  responses_api_agents:
    simple_agent:
      entrypoint: app.py
      resources_server:
        type: resources_servers
        name: recompensa
      model_server:
        type: responses_api_models
        name: policy_model
      datasets:
      - name: train
        type: train
        jsonl_fpath: resources_servers/recompensa/data/train.jsonl
"""

_README = """\
# recompensa

The rewards of `rewards.yaml` (or of a server, `recompensa_url`) as a resources server. A completion without a score is masked
(`mask_sample`), and a fault carries `_ng_failure_class`: neither is a 0 that is trained on.

Rows: `python -m rewards rows --for nemo-gym --input train.jsonl --output data/train.jsonl`
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("system", choices=("nemo-gym",), metavar="SYSTEM", help="nemo-gym")
    parser.add_argument("folder", metavar="FOLDER", help="a new folder for it")
    parser.add_argument("--config", metavar="FILE", help="the rewards, copied beside it")
    parser.add_argument("--url", metavar="URL", help="a server of ours instead: scores come from there")


def run(options: argparse.Namespace) -> int:
    from rewards.serve.scorers import read_section

    folder = Path(options.folder)
    problems = []
    if (options.config is None) == (options.url is None):
        problems.append("give either --config FILE or --url URL")
    if folder.exists() and any(folder.iterdir() if folder.is_dir() else [folder]):
        problems.append(f"{folder}: is there already; name a new folder")
    if problems:
        raise UserError(problems)
    files = {
        "app.py": _APP,
        "configs/recompensa.yaml": _CONFIG.format(url=options.url or "null"),
        "requirements.txt": "-e nemo-gym[dev] @ ../../\nrecompensa[serve]\n",
        "README.md": _README,
    }
    if options.config is not None:
        import yaml

        # Its paths are absolute now: the copy means the same where it lies.
        section = read_section(Path(options.config), options.plugin).model_dump(mode="json", exclude_defaults=True)
        files["rewards.yaml"] = yaml.safe_dump({"rewards": section}, sort_keys=False, allow_unicode=True)
    try:
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror})") from None
    print(f"wrote {', '.join(str(folder / name) for name in files)}")
    print(f"start it: ng_run '+config_paths=[{folder}/configs/recompensa.yaml,...]'")
    return 0
