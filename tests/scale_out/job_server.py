"""Beam's job servers: installed with Maven, run as processes of their own that only this machine can reach."""

import contextlib
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.sandbox import programs

HERE = Path(__file__).parent

_LISTENS = re.compile(r"JobService started on \S+:(\d+)")
_INVOKES = re.compile(r"Invoking job (\S+)_[0-9a-f-]{36}")
_START_SECONDS = 90
_INSTALL_SECONDS = 600  # some 200 jars, the first time


class NotInstalledError(Exception):
    """Java, Maven or the jars can't be had; says which, and what to do."""


@dataclass(frozen=True)
class Engine:
    """An engine that runs inside its job server.

    Attributes:
        name: also the folder of its pom.xml.
        driver: the job server's main class.
        flags: of the job server.
        java_flags: of the Java machine.
        invoker: the class that logs jobs.
        beam_args: what a step has to be given, besides where the job server is.
    """

    name: str
    driver: str
    invoker: str
    flags: Sequence[str]
    java_flags: Sequence[str]
    beam_args: Sequence[str]


FLINK = Engine(
    "flink",
    "org.apache.beam.runners.flink.FlinkJobServerDriver",
    "org.apache.beam.runners.flink.FlinkJobInvoker",
    ["--flink-master=[local]"],
    [],
    ["--parallelism=2"],
)
SPARK = Engine(
    "spark",
    "org.apache.beam.runners.spark.SparkJobServerDriver",
    "org.apache.beam.runners.spark.SparkJobInvoker",
    ["--spark-master-url=local[2]"],
    [
        "-Dspark.ui.enabled=false",
        "-Dspark.driver.host=127.0.0.1",
        # Spark reflects on these; its own launcher, which opens them, isn't used here.
        *(
            f"--add-opens=java.base/{package}=ALL-UNNAMED"
            for package in ("java.lang", "java.lang.invoke", "java.nio", "java.util", "sun.nio.ch")
        ),
    ],
    [],
)


@dataclass(frozen=True)
class JobServer:
    """A job server that runs.

    Attributes:
        beam_args: for steps that shall use it.
        log: what it says.
    """

    beam_args: list[str]
    log: Path

    def jobs(self) -> list[str]:
        """Returns the names of the jobs it was given, in order."""
        return _INVOKES.findall(self.log.read_text(encoding="utf-8", errors="replace"))


def classpath(engine: Engine, work: Path) -> str:
    """Fetches the engine's jars into Maven's local repository, if they aren't there; returns them as a class path.

    Raises:
        NotInstalledError: Java or Maven isn't there, or a jar can't be had.
    """
    for program, package in (("java", "default-jre-headless"), ("mvn", "maven")):
        if not shutil.which(program):
            raise NotInstalledError(f"no {program} on PATH; install it (Debian: apt-get install {package})")
    found = work / f"{engine.name}.classpath"
    command = ["mvn", "--batch-mode", "--quiet", f"--file={HERE / engine.name / 'pom.xml'}"]
    command += ["dependency:build-classpath", f"-Dmdep.outputFile={found}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_INSTALL_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise NotInstalledError(f"mvn has not fetched {engine.name}'s jars in {_INSTALL_SECONDS} s") from error
    if done.returncode:
        said = next((line for line in done.stdout.splitlines() if "ERROR" in line), done.stderr.strip())
        raise NotInstalledError(f"{engine.name}'s jars can't be had: {said}")
    return found.read_text(encoding="utf-8").strip()


@contextlib.contextmanager
def running(engine: Engine, work: Path) -> Iterator[JobServer]:
    """Runs the engine's job server.

    Args:
        work: folder for its files and its log.

    Raises:
        NotInstalledError: see `classpath`.
        RuntimeError: it doesn't start; has the end of its log.
    """
    log = work / f"{engine.name}.log"
    command = [
        "java",
        "-Xmx1g",
        "-XX:TieredStopAtLevel=1",  # lives for minutes: compiling more than a little costs more than it brings
        "-XX:+UseSerialGC",
        "-Djava.security.manager",
        f"-Djava.security.policy=={HERE / 'loopback.policy'}",
        # Native sockets don't ask the policy; and the policy knows 127.0.0.1, not ::ffff:127.0.0.1.
        "-Dorg.apache.beam.vendor.grpc.v1p60p1.io.netty.transport.noNative=true",
        "-Djava.net.preferIPv4Stack=true",
        f"-Djava.io.tmpdir={work}",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
        "-Dorg.slf4j.simpleLogger.log.org.apache.beam.runners.jobsubmission.JobServerDriver=info",
        f"-Dorg.slf4j.simpleLogger.log.{engine.invoker}=info",
        *engine.java_flags,
        "-classpath",
        classpath(engine, work),
        engine.driver,
        "--job-host=127.0.0.1",
        *(f"--{service}-port=0" for service in ("job", "artifact", "expansion")),  # 0: any that is free
        f"--artifacts-dir={work / 'artifacts'}",
        *engine.flags,
    ]
    server = programs.Background(command, log, lambda: bool(_port(log)), _START_SECONDS, cwd=work)
    try:
        where = ["--runner=PortableRunner", f"--job_endpoint=127.0.0.1:{_port(log)}", "--environment_type=LOOPBACK"]
        yield JobServer([*where, "--job_name={component}", *engine.beam_args], log)
    finally:
        server.stop()


@contextlib.contextmanager
def worker_pool(python: Path, env: Mapping[str, str], work: Path) -> Iterator[list[str]]:
    """Runs a pool of Beam workers, as a cluster would beside its machines; gives the `beam_args` that send work there.

    Args:
        python: of the component whose steps it works for.
        env: the environment variables of its steps.
        work: folder for its log, and for what workers and steps exchange.
    """
    port = programs.free_port()
    pool = [str(python), "-m", "apache_beam.runners.worker.worker_pool_main", f"--service_port={port}"]
    log = work / "workers.log"
    workers = programs.Background(pool, log, lambda: programs.listens(port), _START_SECONDS, env=dict(env))
    try:
        yield [
            "--environment_type=EXTERNAL",
            f"--environment_config=127.0.0.1:{port}",
            f"--temp_location={work / 'exchanged'}",
            "--parallelism=1",  # each worker is a process that imports TensorFlow; every stage has one
        ]
    finally:
        workers.stop()


def _port(log: Path) -> int:
    """Returns the port that the job server says it listens at; 0 before it does."""
    found = _LISTENS.search(log.read_text(encoding="utf-8", errors="replace"))
    return int(found[1]) if found else 0
