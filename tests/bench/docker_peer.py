"""Asks the Docker Engine with the Python SDK whenever a line comes in; says how many seconds it took, how many of them on the processor,
how many things there were, and how many bytes were resident at most.

The line says what is asked: `stats`, of every running container, all at once, as its CPU needs two readings; or `logs NAME`, the last 100
lines.
"""

import resource
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import docker

client = docker.DockerClient(base_url=f"unix://{sys.argv[1]}", max_pool_size=100)


def usage(container):
    stats = container.stats(stream=False)
    cpu, before = stats["cpu_stats"], stats["precpu_stats"]
    system = cpu["system_cpu_usage"] - before.get("system_cpu_usage", 0)
    used = cpu["cpu_usage"]["total_usage"] - before["cpu_usage"]["total_usage"]
    return container.name, used / system if system else None, stats["memory_stats"]["usage"]


def ask(what, name=None):
    if what == "logs":
        return client.containers.get(name).logs(tail=100).splitlines()
    with ThreadPoolExecutor(100) as pool:
        return list(pool.map(usage, client.containers.list()))


for line in sys.stdin:
    began, busy = time.perf_counter(), time.process_time()
    count = len(ask(*line.split()))
    took, busy = time.perf_counter() - began, time.process_time() - busy
    print(took, busy, count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, flush=True)
