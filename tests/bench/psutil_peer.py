"""Scans all processes with psutil whenever a line comes in; says how many seconds it took, how many of them on the
processor, and how many processes there were.

The line says what is read of each: `scan`, the fields of a scan of ours, or `list`, what a row of our process list shows.
"""

import sys
import time

import psutil

SCAN = ["pid", "ppid", "name", "status", "cpu_times", "create_time", "memory_info", "num_threads", "nice"]
ATTRIBUTES = {"scan": SCAN, "list": [*SCAN, "username", "cmdline"]}

for line in sys.stdin:
    attributes = ATTRIBUTES[line.strip()]
    began, busy = time.perf_counter(), time.process_time()
    count = sum(1 for _ in psutil.process_iter(attributes))
    print(time.perf_counter() - began, time.process_time() - busy, count, flush=True)
