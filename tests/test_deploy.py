"""What is shipped for servers fits the project: locks, image, compose file, and the proxy's configuration."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
LOCKS = {name: (ROOT / "deploy" / name).read_text() for name in ("requirements.lock", "cuda.lock")}


def pins(text: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9.-]+)==([^ ;]+)", text, re.MULTILINE))


def test_every_package_is_locked_by_hash_and_within_its_range() -> None:
    from packaging.requirements import Requirement

    versions = pins(LOCKS["requirements.lock"]) | pins(LOCKS["cuda.lock"])
    for text in LOCKS.values():
        packages = re.findall(r"^[a-z0-9].*(?:\n .*)*", text, re.MULTILINE)
        assert len(packages) == len(pins(text)) > 10
        assert all("--hash=sha256:" in package for package in packages)
    for line in (ROOT / "requirements.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            requirement = Requirement(line)
            assert versions[requirement.name] in requirement.specifier, line


def test_the_image_takes_the_locked_torch_and_runs_as_no_root() -> None:
    versions = pins(LOCKS["cuda.lock"])
    assert f"torch=={versions['torch']} torchvision=={versions['torchvision']}" in DOCKERFILE
    last = DOCKERFILE.rpartition("\nFROM ")[2]
    assert "\nUSER rambo\n" in last
    assert "\nHEALTHCHECK " in last
    assert "\nVOLUME /data\n" in last
    assert "RAMBO_HOME=/data/" in last


def test_what_the_image_installs_without_a_hash_is_said() -> None:
    installs = re.findall(r"pip install ([^\n;]*)", DOCKERFILE)
    unhashed = [line for line in installs if "--require-hashes" not in line]
    assert [line.split()[-1].partition("==")[0] for line in unhashed] == ["torchvision", "."]
    words = " ".join((ROOT / "docs/deploy.md").read_text().split())
    assert (
        "torch and torchvision of the image for CPUs come from PyTorch's own index by version"
        in words
    )


def test_all_that_the_image_copies_is_there_and_sent_to_the_engine() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert lines[0] == "*"
    opened = [line[1:] for line in lines if line.startswith("!")]
    copied = [
        name
        for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE)
        for name in line.split()[:-1]
    ]
    assert len(copied) > 8
    for name in copied:
        assert (ROOT / name).exists(), name
        assert any((name + "/").startswith(one.split("/config")[0]) for one in opened), name
    installed = re.findall(
        r'^"([^"]+)" = "rambo/', (ROOT / "pyproject.toml").read_text(), re.MULTILINE
    )
    assert len(installed) == 6
    assert all(any(name.startswith(one) for one in copied) for name in installed)


def test_the_compose_file_has_both_images_without_rights_they_do_not_need() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    cpu, gpu = services["rambo"], services["rambo-gpu"]
    assert (cpu["build"]["args"]["TORCH"], gpu["build"]["args"]["TORCH"]) == ("cpu", "cuda")
    assert gpu["extends"] == "rambo"
    assert gpu["deploy"]["resources"]["reservations"]["devices"][0]["capabilities"] == ["gpu"]
    assert cpu["cap_drop"] == ["ALL"]
    assert cpu["volumes"] == ["rambo:/data"]
    assert all(port.startswith("127.0.0.1:") for port in cpu["ports"])


def test_nginx_reads_the_configuration_in_the_docs(tmp_path: Path) -> None:
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/bin")
    text = (ROOT / "docs" / "deploy.md").read_text()
    (block,) = re.findall(r"<!-- nginx -->\n```nginx\n(.*?)```", text, re.DOTALL)
    for line in ("Upgrade $http_upgrade", "Host $http_host", "X-Forwarded-Proto $scheme"):
        assert f"proxy_set_header {line};" in block
    if nginx is None or shutil.which("openssl") is None:
        pytest.skip("no nginx on this machine")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=x", "-keyout", "rambo.key", "-out", "rambo.crt"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    here = block.replace("/etc/ssl/rambo", str(tmp_path / "rambo"))
    here = here.replace("listen 443", "listen 127.0.0.1:44443").replace(
        "listen 80", "listen 127.0.0.1:44480"
    )
    file = tmp_path / "nginx.conf"
    file.write_text(
        f"pid {tmp_path}/pid; error_log {tmp_path}/log;\nevents {{}}\nhttp {{\n{here}}}\n"
    )
    done = subprocess.run([nginx, "-t", "-c", str(file)], capture_output=True, text=True)
    assert "test is successful" in done.stderr, done.stderr
