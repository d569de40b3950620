"""A small shop that sends a mail for every order: the application of `./demo`.

`orders.py DIR enqueue-and-work` puts the jobs, prints the id of each that was acknowledged, and
works; `orders.py DIR work` only works. Both end when every job is finished.
"""

from __future__ import annotations

import sys
import time
from datetime import timedelta

from quplog import JobQueue, current_job

ORDERS = 200

jq = JobQueue(sys.argv[1], workers=4)


@jq.task(retries=3, backoff=0.2)
def send_order_email(order_id: int, to: str) -> str:
    """Pretend to send a mail; every 50th address does not answer at first."""
    time.sleep(0.02)
    if order_id % 50 == 0 and current_job().attempt == 1:
        message = f"{to}: the mail server does not answer"
        raise ConnectionError(message)
    return f"order {order_id}: mail sent to {to}"


def enqueue() -> None:
    """Put the jobs; what is printed was acknowledged as durable."""
    for order_id in range(1, ORDERS + 1):
        job = send_order_email.enqueue(order_id, to=f"customer{order_id}@example.com")
        print(job.id, flush=True)
    later = send_order_email.using(delay=timedelta(seconds=2))
    print(later.enqueue(ORDERS + 1, to="later@example.com").id, flush=True)
    print("all enqueued", flush=True)


def wait_for_everything() -> None:
    """Return when every job is finished, those that are due later too."""
    with jq:
        for job in jq.jobs(limit=ORDERS + 1):
            job.result()


if __name__ == "__main__":
    if sys.argv[2] == "enqueue-and-work":
        enqueue()
    wait_for_everything()
