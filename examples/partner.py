"""Enrol two people, match them, and ask what became of it: a partner's first program, with nothing but HTTP.

GATEWAY, MATCHING and ITHACA_KEY say where and who; without the addresses those of `./ithaca up` are taken.
"""

import json
import os
import subprocess
import time
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parents[1]


def addresses() -> dict[str, str]:
    known = json.loads(subprocess.run([ROOT / "ithaca", "status", "--json"], capture_output=True, check=False).stdout)[
        "addresses"
    ]
    return {"gateway": os.environ.get("GATEWAY", known["gateway"]), "matching": os.environ.get("MATCHING", known["matching"])}


def event(event_id: str, kind: str, data: dict[str, object]) -> dict[str, object]:
    return {"specversion": "1.0", "id": event_id, "source": "/acme/example", "type": f"ithaca.{kind}", "data": data}


def main() -> None:
    where = addresses()
    key = {"Authorization": f"Bearer {os.environ['ITHACA_KEY']}"}
    batch = [
        event("program", "ProgramLaunched", {"program": "example", "name": "Example"}),
        event("ada", "PersonEnrolled", {"person": "ada", "program": "example", "role": "mentor", "skills_offered": ["cloud"]}),
        event("ben", "PersonEnrolled", {"person": "ben", "program": "example", "role": "mentee", "skills_wanted": ["cloud"]}),
    ]
    with httpx.Client(headers=key, timeout=30) as http:
        # The same ids each time: run it twice, and nothing happens twice.
        posted = http.post(
            f"{where['gateway']}/v1/events", json=batch, headers={"Content-Type": "application/cloudevents-batch+json"}
        )
        posted.raise_for_status()
        for result in posted.json()["results"]:
            print(result["id"], result["status"])
        url = f"{where['matching']}/v1/programs/example/match-runs"
        roster = posted.json()["rosters"]["acme.example"]
        answer = http.post(url, json={"after": roster}, headers={"Idempotency-Key": "example-1"})
        while answer.status_code in {401, 404, 503}:  # a new key or program reaches matching as an event, within a second
            time.sleep(0.2)
            answer = http.post(url, json={"after": roster}, headers={"Idempotency-Key": "example-1"})
        run = answer.raise_for_status().json()
        while run["status"] not in {"finished", "failed"}:
            time.sleep(0.2)
            run = http.get(f"{where['matching']}/v1/match-runs/{run['run_id']}").raise_for_status().json()
        print("match run", run["status"], "pairs", run["pairs"], "gap", run["gap"])


if __name__ == "__main__":
    main()
