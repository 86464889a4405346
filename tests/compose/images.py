"""The images of the test, made on this machine from packages alone: none is pulled.

Each is named after what it was made from, so it is made again when that changed and else found in
podman's store.
"""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from common.clock import monotonic
from tests.compose.machine import BUILD, ROOT, podman, run
from tests.kafka import fetch_jars

_SUITE = "bookworm"
_INCLUDED = "python3,python3-venv"
_CONTEXT = ROOT / "build" / "image"
_HERE = Path(__file__).parent / "images"
_LIMITS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000")


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Say how long it took; pytest is told to leave the output alone (-s)."""
    start = monotonic()
    yield
    sys.stdout.write(f"  {what}: {monotonic() - start:.1f} s\n")
    sys.stdout.flush()


def build() -> dict[str, str]:
    """Return the images by the variable of docker-compose.yml that names them."""
    base = _base()
    return {
        "PRAG_IMAGE": _prag(base),
        "POSTGRES_IMAGE": _part("postgres", base, _HERE, "host"),
        "KAFKA_IMAGE": _part("kafka", base, fetch_jars(), "host"),
    }


def _base() -> str:
    image = _named("base", [_SUITE.encode(), _INCLUDED.encode()])
    if not _exists(image):
        with timed("base image by debootstrap"):
            folder = BUILD / "base"
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            run("debootstrap", "--variant=minbase", f"--include={_INCLUDED}", _SUITE, str(folder))
            tar = ["tar", "-C", str(folder), "--exclude=./var/cache/apt/archives/*.deb", "-c", "."]
            with subprocess.Popen(tar, stdout=subprocess.PIPE) as packed:  # noqa: S603
                subprocess.run(  # noqa: S603
                    ["podman", "import", "-q", "-", image],  # noqa: S607
                    stdin=packed.stdout,
                    stdout=subprocess.DEVNULL,
                    check=True,
                )
            assert packed.returncode == 0
            shutil.rmtree(folder)
        _forget_older(image)
    return image


def _prag(base: str) -> str:
    with timed("wheels"):
        run(sys.executable, str(ROOT / "deploy" / "docker" / "context.py"))
    recipe = ROOT / "deploy" / "docker" / "Dockerfile"
    return _build("prag", recipe, base, _CONTEXT, "none", _CONTEXT / "requirements.txt")


def _part(name: str, base: str, context: Path, network: str) -> str:
    return _build(name, _HERE / f"{name}.Dockerfile", base, context, network)


def _build(name: str, recipe: Path, base: str, context: Path, network: str, *inputs: Path) -> str:
    contents = [base.encode(), *(path.read_bytes() for path in (recipe, *inputs))]
    contents += [path.name.encode() for path in sorted(context.iterdir())]
    contents += [path.read_bytes() for path in sorted(context.glob("*.py"))]
    image = _named(name, contents)
    if not _exists(image):
        with timed(f"image {name}, network {network}"):
            # Docker's format, for the other one knows no HEALTHCHECK.
            how = ["--format", "docker", "--layers=false", "--network", network, *_LIMITS]
            what = ["--build-arg", f"BASE={base}", "-f", str(recipe), "-t", image, str(context)]
            podman("build", "-q", *how, *what)
        _forget_older(image)
    return image


def _named(name: str, contents: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for content in contents:
        digest.update(hashlib.sha256(content).digest())
    return f"localhost/prag-test-{name}:{digest.hexdigest()[:12]}"


def _exists(image: str) -> bool:
    found = subprocess.run(["podman", "image", "exists", image], check=False)  # noqa: S603, S607
    return found.returncode == 0


def _forget_older(image: str) -> None:
    name = image.partition(":")[0]
    listed = podman("images", "--format", "{{.Repository}}:{{.Tag}}", name).split()
    for old in listed:
        if old != image:
            # One that a container still stands on stays.
            subprocess.run(["podman", "rmi", old], capture_output=True, check=False)  # noqa: S603, S607
