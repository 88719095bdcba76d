"""Who watches reads names of metrics: those of the page, of the dashboard and of the alerts are the server's.

Queries are parsed as Prometheus parses them, and every metric and label in them has to be there. Debian's promtool has
its say too where it is installed.
"""

import json
import re
import shutil
import subprocess

import promql_parser
import pytest
import yaml
from prometheus_client.metrics import MetricWrapperBase

from documents import ROOT, codes, page, table
from hark.telemetry.metrics import Metrics

DEPLOY = ROOT / "deploy"
# What Prometheus adds to each series of a target, and what we do.
EVERYWHERE = {"job", "instance", "worker"}
NOT_OURS = {"up": EVERYWHERE - {"worker"}}


def metrics():
    """By the name that they are written under: kind and labels of each."""
    found = {}
    for collector in Metrics(model="m").registry._collector_to_names:
        for metric in collector.collect():
            labels = set(getattr(collector, "_labelnames", ()))
            if not isinstance(collector, MetricWrapperBase) or metric.type == "info":
                labels = {label for sample in metric.samples for label in sample.labels}
            name = metric.name + {"counter": "_total", "info": "_info"}.get(metric.type, "")
            found[name] = {"info": "gauge"}.get(metric.type, metric.type), labels
    return found


def series():
    """By the name that a query uses: its labels."""
    found = dict(NOT_OURS)
    for name, (kind, labels) in metrics().items():
        parts = {"_bucket": {"le"}, "_sum": set(), "_count": set()} if kind == "histogram" else {"": set()}
        found |= {name + part: labels | EVERYWHERE | more for part, more in parts.items()}
    return found


def test_every_metric_has_its_row():
    rows = table(page("docs/metrics.md"), "metric", "type")
    listed = {codes(row[0])[0]: (row[1], set(codes(row[2]))) for row in rows}
    assert len(listed) == len(rows)
    assert listed == metrics()


def test_names_are_prometheus_conventions():
    for name, (kind, _) in metrics().items():
        assert re.fullmatch(r"(hark|process|python)(_[a-z]+)+", name), name
        assert name.endswith("_total") == (kind == "counter"), name
        assert not re.search(r"_(ms|milliseconds|minutes|kb|mb|percent)(_|$)", name), name


# ---- queries -------------------------------------------------------------------------------------------------------


def selectors(node):
    """The selectors of a query, and for each the labels by which something above it groups."""
    own = getattr(node, "modifier", None)
    for child in (getattr(node, name, None) for name in ("lhs", "rhs", "expr", "args", "vector_selector", "param")):
        for each in child if isinstance(child, list) else [child]:
            if each is not None and type(each).__module__ == type(node).__module__:
                for selector, labels in selectors(each):
                    yield selector, labels | set(getattr(own, "labels", ()))
    if isinstance(node, promql_parser.VectorSelector):
        yield node, set()


def wrong(query):
    """What a query asks for that is not there."""
    there, found = series(), []
    asked = list(selectors(promql_parser.parse(query)))
    assert asked, f"{query} asks for nothing"
    for selector, grouped in asked:
        if selector.name not in there:
            found.append(selector.name)
            continue
        used = grouped | {matcher.name for matcher in selector.matchers.matchers}
        found += [f"{label} of {selector.name}" for label in used - there[selector.name]]
    return found


def plain(query):
    """Without Grafana's variables."""
    return query.replace("$__rate_interval", "5m").replace("$job", "hark")


DASHBOARD = json.loads((DEPLOY / "grafana.json").read_text("utf-8"))
QUERIES = [(panel["title"], each["expr"]) for panel in DASHBOARD["panels"] for each in panel.get("targets", ())]
QUERIES += [(each["name"], each["expr"]) for each in DASHBOARD["annotations"]["list"]]
RULES = [
    rule for group in yaml.safe_load((DEPLOY / "alerts.yaml").read_text("utf-8"))["groups"] for rule in group["rules"]
]


@pytest.mark.parametrize(("title", "query"), QUERIES)
def test_the_dashboard_asks_for_what_there_is(title, query):
    assert wrong(plain(query)) == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_alerts_ask_for_what_there_is(rule):
    assert wrong(rule["expr"]) == []
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert rule["annotations"].keys() == {"summary", "description"}
    known = {label for selector, _ in selectors(promql_parser.parse(rule["expr"])) for label in series()[selector.name]}
    assert set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"]))) <= known


def test_a_query_that_asks_for_what_is_not_there_is_found():
    assert wrong("sum by (model) (rate(hark_sessions_opened_total[5m])) > hark_session") == ["hark_session"]
    assert wrong('sum by (key) (hark_sessions{tenant="a"})') in (
        ["key of hark_sessions", "tenant of hark_sessions"],
        ["tenant of hark_sessions", "key of hark_sessions"],
    )


def test_the_dashboard_shows_every_metric_of_ours_that_one_looks_at():
    shown = {selector.name for _, query in QUERIES for selector, _ in selectors(promql_parser.parse(plain(query)))}
    shown = {re.sub("_(bucket|sum|count)$", "", name) for name in shown}
    left_out = {name for name in metrics() if name.startswith("hark_")} - shown
    assert left_out == {
        "hark_sessions_opened_total", "hark_sessions_resumed_total", "hark_session_seconds", "hark_items",
        "hark_sessions_away", "hark_draining",
        "hark_deltas_total", "hark_model_loaded", "hark_model_load_seconds", "hark_threads", "hark_info",
        "hark_http_request_seconds",
        "hark_http_requests_in_progress", "hark_scrape_misses_total", "hark_cluster_answer_seconds",
    }  # fmt: skip


def test_panels_do_not_overlap():
    taken = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells


def test_the_scrape_is_of_the_path_that_is_served():
    config = yaml.safe_load((DEPLOY / "prometheus.yaml").read_text("utf-8"))
    (job,) = config["scrape_configs"]
    assert (job["job_name"], job["metrics_path"]) == ("hark", "/metrics")
    assert [(DEPLOY / name).exists() for name in config["rule_files"]] == [True]


@pytest.mark.skipif(
    shutil.which("promtool") is None, reason="Prometheus' promtool is not installed (apt install prometheus)"
)
@pytest.mark.parametrize("what", [("rules", "alerts.yaml"), ("config", "prometheus.yaml")])
def test_promtool_agrees(what):
    kind, name = what
    run = subprocess.run(["promtool", "check", kind, DEPLOY / name], check=False, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
