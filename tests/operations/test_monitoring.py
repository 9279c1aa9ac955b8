"""The alert rules and the dashboard only name metrics and labels that the city's processes really show."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from litestar.testing import TestClient
from msgspec.structs import replace
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from ruamel.yaml import YAML

from backend.app import create_app
from backend.city.service import City
from backend.jobs.tasks import Job, discover_tasks
from backend.operations.metrics import make_registry
from backend.settings import Settings
from integrations.his.hl7v2.listener_metrics import ListenerMetrics
from integrations.his.hl7v2.mllp_listener import Limits, MllpListener
from tests.conftest import Clock, SignIn
from tests.servers import free_port, wait_until

FOLDER = Path(__file__).parents[2] / "docs" / "monitoring"
OPERATING = (FOLDER.parent / "operating.md").read_text()
ALERTS: Any = YAML(typ="safe").load((FOLDER / "alerts.yaml").read_text())  # pyright: ignore[reportUnknownMemberType]
RULES: list[dict[str, Any]] = [rule for group in ALERTS["groups"] for rule in group["rules"]]
PANELS: list[dict[str, Any]] = json.loads((FOLDER / "dashboard.json").read_text())["panels"]
EXPRESSIONS = {
    **{rule["alert"]: rule["expr"] for rule in RULES},
    **{f"panel {panel['title']}": " ".join(each["expr"] for each in panel["targets"]) for panel in PANELS},
}
PROMTOOL = shutil.which("promtool") or ""


def labels_of(text: str) -> dict[str, dict[str, set[str]]]:
    """Return the labels of each metric in a scrape, with their values."""
    found: dict[str, dict[str, set[str]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = found.setdefault(sample.name, {})
            for label, value in sample.labels.items():
                labels.setdefault(label, set()).add(value)
    return found


@pytest.fixture(scope="module")
def listener() -> str:
    """Return a scrape of a listener that has answered a message."""
    metrics = ListenerMetrics()
    metrics.listener = MllpListener(lambda _raw, _peer: None, None, Limits())  # type: ignore[arg-type, return-value]
    metrics.count(b"MSH|^~\\&|A|B|C|D|20260302||ADT^A04|1|P|2.4", b"MSH|^~\\&\rMSA|AA|1")
    metrics.unfinished = {"received": (0, 0.0), "waiting": (1, 9.0), "failed": (0, 0.0)}
    return generate_latest(make_registry(metrics.read)).decode()


@pytest.fixture
def shown(settings: Settings, clock: Clock, listener: str) -> Iterator[dict[str, dict[str, set[str]]]]:
    """Yield the labels of all metrics of a server that has given a code and run a job, and of a listener."""
    settings = replace(settings, metrics_port=free_port())
    with TestClient(create_app(settings, clock=clock)) as client:
        person = SignIn(client)("13800138000", name="王芳")
        assert client.get("/v1/me/health-code", headers=person).status_code == 200
        assert client.post("/v1/verifications").status_code == 401
        city: City = client.app.state.city
        client.blocking_portal.call(city.jobs.put, Job("audit.sweep_machine_acts", (), "a sweep"))

        def scrape() -> str:
            with urlopen(f"http://127.0.0.1:{settings.metrics_port}/metrics", timeout=5) as answer:
                return answer.read().decode()

        wait_until(lambda: "chengma_jobs_total{" in scrape() and "chengma_sweep_lag_seconds{" in scrape(), scrape)
        yield labels_of(scrape() + listener)


def test_alerts_and_panels_name_metrics_and_labels_that_exist(shown: dict[str, dict[str, set[str]]]) -> None:
    unknown: list[str] = []
    for name, expression in EXPRESSIONS.items():
        selectors = re.findall(r"\b(chengma_\w+)(?:\{(.*?)\})?", expression)
        assert selectors or name == "ProcessDown", f"{name} reads no metric of the city"
        labels = {label for metric, _ in selectors for label in shown.get(metric, {})}
        grouped = [each.strip() for names in re.findall(r"\bby \((.*?)\)", expression) for each in names.split(",")]
        unknown += [f"{name}: {metric}" for metric, _ in selectors if metric not in shown]
        unknown += [f"{name}: by ({label})" for label in grouped if label not in labels]
        unknown += [
            f"{name}: {metric}{{{label}}}"
            for metric, matchers in selectors
            for label in re.findall(r"(\w+)\s*(?:=~|!=|!~|=)", matchers)
            if label not in shown.get(metric, {})
        ]
    assert unknown == []


def test_alerts_and_panels_name_routes_that_exist(shown: dict[str, dict[str, set[str]]]) -> None:
    named = {
        route
        for text in EXPRESSIONS.values()
        for routes in re.findall(r'route=~?"(.*?)"', text)
        for route in routes.split("|")
    }
    assert named
    assert named <= shown["chengma_request_seconds_count"]["route"]


def test_the_guide_lists_the_metrics_of_alerts_and_panels_and_each_is_real(
    shown: dict[str, dict[str, set[str]]],
) -> None:
    monitoring = OPERATING[OPERATING.index("## Monitoring") :]
    cells = re.findall(r"^\| (`chengma_.*?) \|", monitoring, re.MULTILINE)
    listed = {name for cell in cells for name in re.findall(r"`(chengma_\w+)", cell)}
    histograms = {re.sub("_(bucket|count|sum)$", "", name) for name in shown}
    assert listed - set(shown) - histograms == set()
    used = {name for text in EXPRESSIONS.values() for name in re.findall(r"\bchengma_\w+", text)}
    assert {re.sub("_(bucket|count|sum)$", "", name) for name in used} - listed == set()


def test_every_sweep_of_due_documents_has_a_lag(shown: dict[str, dict[str, set[str]]]) -> None:
    sweeps = {task.name for task in discover_tasks().values() if task.due}
    assert len(sweeps) > 10
    assert shown["chengma_sweep_lag_seconds"]["sweep"] == sweeps


def test_every_alert_says_how_urgent_it_is_and_what_to_do() -> None:
    names = [rule["alert"] for rule in RULES]
    assert len(set(names)) == len(names)
    for rule in RULES:
        assert rule["labels"]["severity"] in {"page", "ticket"}, rule["alert"]
        assert rule["for"], rule["alert"]
        assert rule["annotations"]["summary"].endswith("."), rule["alert"]


@pytest.mark.skipif(not PROMTOOL, reason="promtool is not installed")
def test_prometheus_accepts_the_rules() -> None:
    check = [PROMTOOL, "check", "rules", str(FOLDER / "alerts.yaml")]
    checked = subprocess.run(check, check=False, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr
