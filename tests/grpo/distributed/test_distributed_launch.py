"""What starts several processes: the shipped accelerate files, and the commands and templates of docs/scale_out.md."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from grpo.config.loading import configs_folder
from grpo.run import parse

pytest.importorskip("torch")

PAGE = Path(__file__).parents[3] / "docs" / "scale_out.md"


def read_blocks(*languages: str) -> list[str]:
    fences = re.split(r"^```(.*)\n", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return [block for language, block in zip(fences[1::4], fences[2::4], strict=True) if language in languages]


def read_launches() -> list[list[str]]:
    """Every command of the page that starts processes, as the words a shell would make of it."""
    text = PAGE.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = re.findall(
        r"^ *(?:(?:exec|srun --cpus-per-task=\S+) )?((?:torchrun|accelerate launch) .*)$", text, re.MULTILINE
    )
    return [shlex.split(line) for line in lines if "..." not in line]


def test_page_when_its_shell_is_read_then_bash_takes_it():
    """The SLURM script, every command, and the script inside the Kubernetes job."""
    (job,) = [list(yaml.safe_load_all(block)) for block in read_blocks("yaml")]
    scripts = [*read_blocks("bash", ""), job[1]["spec"]["template"]["spec"]["containers"][0]["args"][0]]
    assert len(scripts) >= 5
    for script in scripts:
        done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True)
        assert done.returncode == 0 and not done.stderr, (script, done.stderr)


def test_kubernetes_job_when_read_then_its_parts_name_each_other():
    """The service finds the pods, the rendezvous is pod 0, and a checkpoint has its time before the pod is killed."""
    (block,) = read_blocks("yaml")
    service, job = yaml.safe_load_all(block)
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    name = job["metadata"]["name"]
    assert service["spec"]["selector"] == {"job-name": name} and service["spec"]["clusterIP"] == "None"
    assert job["spec"]["completions"] == job["spec"]["parallelism"] == 2 and job["spec"]["completionMode"] == "Indexed"
    assert f"--rdzv_endpoint {name}-0.{pod['subdomain']}:" in container["args"][0]
    assert pod["subdomain"] == service["metadata"]["name"]
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    patience = {entry["name"]: entry["value"] for entry in container["env"]}["TORCH_ELASTIC_SHUTDOWN_TIMEOUT"]
    assert 30 < int(patience) < pod["terminationGracePeriodSeconds"]


def test_page_when_it_launches_then_launchers_and_run_know_every_option():
    """Each torchrun and accelerate command is parsed by what it names, down to the options of the run."""
    from accelerate.commands.launch import launch_command_parser
    from torch.distributed.run import get_args_parser

    launches = read_launches()
    assert {words[0] for words in launches} == {"torchrun", "accelerate"} and len(launches) >= 6
    for words in launches:
        parser, rest = (
            (get_args_parser(), words[1:]) if words[0] == "torchrun" else (launch_command_parser(), words[2:])
        )
        numbers = ["2" if word.startswith("$SLURM_NNODES") else "1" if word == "$RANK" else word for word in rest]
        options = parser.parse_args(numbers)
        assert options.module and options.training_script == "grpo.run"
        if words[0] == "accelerate":
            assert (configs_folder() / "accelerate" / Path(options.config_file).name).is_file()
        if options.training_script_args != ["$WHAT"]:
            parse(options.training_script_args)
    named = set(re.findall(r"configs/accelerate/(\w+\.yaml)", PAGE.read_text(encoding="utf-8")))
    assert named == {path.name for path in (configs_folder() / "accelerate").iterdir()}


@pytest.mark.parametrize("name", ["ddp", "fsdp2", "zero3"])
def test_accelerate_config_when_parsed_then_accelerate_reads_what_was_meant(name):
    """Each shipped file is one that accelerate takes, for the strategy it is named after."""
    from accelerate.commands.config.config_args import load_config_from_file

    config = load_config_from_file(str(configs_folder() / "accelerate" / f"{name}.yaml"))
    assert config.distributed_type.value == {"ddp": "MULTI_GPU", "fsdp2": "FSDP", "zero3": "DEEPSPEED"}[name]
    assert config.mixed_precision == "no" and config.use_cpu is False
    if name == "fsdp2":
        assert config.fsdp_config["fsdp_version"] == 2
        assert config.fsdp_config["fsdp_state_dict_type"] == "FULL_STATE_DICT"
    if name == "zero3":
        assert config.deepspeed_config["zero_stage"] == 3
        assert config.deepspeed_config["zero3_save_16bit_model"] is True


def test_fsdp2_config_when_launched_then_its_variables_say_version_two(monkeypatch):
    """What `accelerate launch` hands to the processes spreads the weights the way the file says."""
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser, prepare_multi_gpu_env

    path = configs_folder() / "accelerate" / "fsdp2.yaml"
    given = ["--config_file", str(path), "--num_processes", "2", "-m", "grpo.run"]
    arguments = _validate_launch_command(launch_command_parser().parse_args(given))[0]
    variables = prepare_multi_gpu_env(arguments)
    assert variables["ACCELERATE_USE_FSDP"] == "true"
    assert variables["FSDP_VERSION"] == "2"
    assert variables["FSDP_STATE_DICT_TYPE"] == "FULL_STATE_DICT"
    assert variables["ACCELERATE_MIXED_PRECISION"] == "no"
