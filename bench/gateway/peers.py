"""The gateways that Feilun is measured against, and the upstream behind all of them.

Knows how nginx and LiteLLM are configured for speed. Does not know what is measured, nor Feilun.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from programs import BenchError, Program, Programs, compile_c, find, free_port

KEY = "sk-bench-0123456789abcdef"
MODEL = "bench"
LITELLM_START = 180.0
LITELLM_INSTALL = "litellm[proxy]"

NGINX = """
worker_processes 1;
worker_cpu_affinity {mask};
daemon off;
{user}
pid {folder}/nginx.pid;
error_log stderr error;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  proxy_http_version 1.1;
  proxy_set_header Connection "";
  upstream bench {{ server 127.0.0.1:{upstream}; keepalive 2048; keepalive_requests 1000000000; }}
  server {{ listen 127.0.0.1:{calls}; location / {{ proxy_pass http://bench; }} }}
  server {{ listen 127.0.0.1:{streams}; location / {{ proxy_pass http://bench; proxy_buffering off; }} }}
}}
"""

# https://docs.litellm.ai/docs/proxy/prod: one worker, production mode, errors only, nothing that calls home or logs.
LITELLM = """
model_list:
  - model_name: {model}
    litellm_params:
      model: openai/{model}
      api_base: http://127.0.0.1:{upstream}/v1
      api_key: {key}
litellm_settings:
  set_verbose: false
  num_retries: 0
  request_timeout: 600
  callbacks: []
  telemetry: false
general_settings:
  master_key: {key}
  disable_error_logs: true
"""
LITELLM_ENV = {"LITELLM_MODE": "PRODUCTION", "LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}


@dataclass(frozen=True, slots=True)
class Gate:
    """Something that answers chat completions. Calls take turns with ``keys`` and ``models``.

    ``program`` is what is measured from outside; None where nothing is. nginx streams on a port of its own.
    """

    name: str
    port: int
    program: Program | None = None
    stream_port: int = 0
    keys: tuple[str, ...] = (KEY,)
    models: tuple[str, ...] = (MODEL,)


def start_upstream(programs: Programs, core: int) -> Gate:
    """Compile and start the upstream: the gate without a gateway."""
    port = free_port()
    program = programs.start("upstream", [str(compile_c("upstream", programs.folder)), str(port), str(core)])
    program.wait_for(port, 10)
    return Gate("direct", port, program)


def start_nginx(programs: Programs, core: int, upstream: int) -> Gate:
    """Start nginx as a plain proxy with connections kept alive; streams are not buffered."""
    folder = programs.folder / "nginx"
    folder.mkdir()
    calls, streams = free_port(), free_port()
    # A root master would hand its workers to another account, which may not write in the temporary folder.
    user = "user root;" if Path("/proc/self").owner() == "root" else ""
    mask = "1" + "0" * core
    text = NGINX.format(folder=folder, upstream=upstream, calls=calls, streams=streams, mask=mask, user=user)
    (folder / "nginx.conf").write_text(text, encoding="utf-8")
    argv = [find("nginx", "nginx-light"), "-p", str(folder), "-c", str(folder / "nginx.conf")]
    program = programs.start("nginx", argv, core)
    program.wait_for(calls, 10)
    return Gate("nginx", calls, program, streams)


def install_litellm(folder: Path) -> Path:
    """Return the program ``litellm`` of the environment in ``folder``, which is made at first use; raise BenchError."""
    program = folder / "bin" / "litellm"
    if not program.is_file():
        python = str(folder / "bin" / "python")
        steps = (
            [sys.executable, "-m", "venv", str(folder)],
            [python, "-m", "pip", "install", "--disable-pip-version-check", "-q", LITELLM_INSTALL],
        )
        for step in steps:
            done = subprocess.run(step, capture_output=True, text=True, check=False)
            if done.returncode or (step[0] == python and not program.is_file()):
                raise BenchError(f"LiteLLM cannot be installed: {done.stderr.strip()[-500:]}")
    return program


def start_litellm(programs: Programs, core: int, upstream: int, litellm: Path) -> Gate:
    """Start the LiteLLM proxy: one worker, its master key as the only key, no database."""
    config = programs.folder / "litellm.yaml"
    config.write_text(LITELLM.format(model=MODEL, key=KEY, upstream=upstream), encoding="utf-8")
    port = free_port()
    argv = [str(litellm), "--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    program = programs.start("litellm", argv, core, LITELLM_ENV)
    program.wait_for(port, LITELLM_START)
    return Gate("LiteLLM", port, program)
