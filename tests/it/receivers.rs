//! Telemetry against real receivers, and the stack in docs/telemetry: its files hang together, and
//! every query in it is one that the real database answers.
//!
//! `sh tests/install-receivers` installs the receivers; where one is missing its tests say SKIPPED.
//! No Docker engine is had here: that it starts the stack is not shown, only what Docker Compose makes of the file, and
//! what its parts are given.

mod servers;
mod stack;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::fixture::{free_port, ran, until};
use crate::telemetry::{eventful, project, task};
use servers::{ClickHouse, Prometheus, Rotel, VictoriaMetrics};
use stack::{Asked, DIR, METRICS, SQL, asked, dashboards, expanded, queries, read, values};

#[test]
fn the_dashboards_ask_only_data_sources_that_are_provisioned_and_no_two_are_the_same() {
    let provisioned = values(&read("grafana/provisioning/datasources/drover.yaml"), "uid");
    assert_eq!(provisioned, BTreeSet::from([SQL.to_owned(), METRICS.to_owned()]));
    let (mut uids, mut titles) = (BTreeSet::new(), BTreeSet::new());
    for (name, dashboard) in dashboards() {
        assert!(uids.insert(dashboard["uid"].to_string()), "{name}");
        assert!(titles.insert(dashboard["title"].to_string()), "{name}");
        let panels = dashboard["panels"].as_array().unwrap();
        let ids: BTreeSet<_> = panels.iter().map(|p| p["id"].as_u64().unwrap()).collect();
        let shown: BTreeSet<_> = panels.iter().map(|p| p["title"].as_str().unwrap()).collect();
        assert_eq!((ids.len(), shown.len()), (panels.len(), panels.len()), "{name}");
        for panel in panels {
            assert!(panel["targets"].as_array().is_some_and(|t| !t.is_empty()), "{name}: {panel}");
            assert!(panel["description"].as_str().is_some_and(|d| !d.is_empty()), "{name}: {panel}");
            let at = |of: &str| panel["gridPos"][of].as_u64().unwrap();
            assert!(at("x") + at("w") <= 24, "{name}: {panel}");
            let uid = panel["datasource"]["uid"].as_str().unwrap();
            assert!(provisioned.contains(uid), "{name}: {panel}");
        }
    }
    assert_eq!(uids.len(), 4);
    for Asked { place, source, .. } in asked() {
        assert!(provisioned.contains(&source), "{place} asks {source}");
    }
    // A link from one dashboard leads to another one.
    for (name, dashboard) in dashboards() {
        for to in dashboard.to_string().split("\"/d/").skip(1).map(|rest| rest.split('?').next().unwrap()) {
            assert!(uids.contains(&format!("\"{to}\"")), "{name}: /d/{to}");
        }
    }
}

/// Pinned to a version, not to what is the latest one today.
fn is_pinned(image: &str) -> bool {
    image.rsplit_once(':').is_some_and(|(_, tag)| tag.trim_start_matches('v').split('.').filter(|n| n.parse::<u32>().is_ok()).count() >= 3)
}

#[test]
fn compose_names_pinned_images_files_that_are_there_and_no_port_beyond_this_machine() {
    let compose = read("compose.yaml");
    let images = values(&compose, "image");
    assert_eq!(images.len(), 4, "{images:?}");
    for image in &images {
        assert!(is_pinned(image), "{image}");
    }
    assert!(!is_pinned("grafana/grafana:latest") && !is_pinned("grafana/grafana:12") && !is_pinned("grafana"));
    let items = |start: &str| compose.lines().filter_map(|l| l.trim().strip_prefix(start).map(str::to_owned)).collect::<Vec<_>>();
    let mounted = items("- ./");
    assert_eq!(mounted.len(), 4);
    for file in mounted.iter().map(|m| m.split(':').next().unwrap()) {
        assert!(Path::new(DIR).join(file).exists(), "{file}");
    }
    let ports: Vec<String> =
        items("- ").into_iter().filter(|l| l.split(':').all(|p| p.parse::<u16>().is_ok() || p == "127.0.0.1")).collect();
    assert_eq!(ports.len(), 5, "{ports:?}");
    assert!(ports.iter().all(|p| p.starts_with("127.0.0.1:")), "{ports:?}");
    // What is tried here is what is started there.
    let script = fs::read_to_string("tests/install-receivers").unwrap();
    let tried = servers::version(&script, "victoria-metrics");
    assert!(images.contains(&format!("victoriametrics/victoria-metrics:v{}", tried.split('+').next().unwrap())), "{tried}: {images:?}");
    assert!(compose.contains("--opentelemetry.usePrometheusNaming"));
}

/// The file as Docker Compose itself takes it, which needs no engine for that.
#[test]
fn docker_compose_reads_the_file_and_would_start_what_is_meant() {
    let Some(dir) = servers::installed("docker-compose", "compose") else { return };
    let mut compose = std::process::Command::new(dir.join("usr/bin/docker-compose"));
    compose.args(["-f", "compose.yaml", "config", "--format", "json"]).current_dir(DIR);
    compose.env_remove("GRAFANA_PASSWORD").env("CLICKHOUSE_PASSWORD", "of-mine");
    let output = compose.output().unwrap();
    // What it warns of, such as a variable that nobody sets, counts too.
    assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let services = serde_json::from_slice::<Value>(&output.stdout).unwrap()["services"].take();
    let services = services.as_object().unwrap();
    assert_eq!(services.keys().collect::<Vec<_>>(), ["clickhouse", "collector", "grafana", "victoriametrics"]);
    for (name, service) in services {
        for port in service["ports"].as_array().unwrap() {
            assert_eq!(port["host_ip"], "127.0.0.1", "{name}: {port}");
        }
        for volume in service["volumes"].as_array().unwrap().iter().filter(|v| v["type"] == "bind") {
            assert!(Path::new(volume["source"].as_str().unwrap()).exists() && volume["read_only"] == true, "{name}: {volume}");
        }
        let password = if name == "victoriametrics" { Value::Null } else { "of-mine".into() };
        assert_eq!(service["environment"]["CLICKHOUSE_PASSWORD"], password, "{name}");
    }
    assert_eq!(services["collector"]["depends_on"]["clickhouse"]["condition"], "service_healthy");
    assert!(services["clickhouse"]["healthcheck"]["test"][1].as_str().unwrap().contains("$$CLICKHOUSE_PASSWORD"));
    assert_eq!(services["grafana"]["environment"]["GF_SECURITY_ADMIN_PASSWORD"], "drover");
}

#[test]
fn the_collector_exports_to_what_compose_starts_and_to_the_tables_that_are_made() {
    let (compose, collector) = (read("compose.yaml"), read("collector.yaml"));
    let defined = |section: &str| {
        let rest = collector.split_once(&format!("\n{section}:\n")).unwrap().1;
        let own = rest.lines().take_while(|l| l.is_empty() || l.starts_with(' '));
        own.filter_map(|l| l.strip_prefix("  ")?.strip_suffix(':').filter(|n| !n.starts_with(' ')))
            .map(str::to_owned)
            .collect::<BTreeSet<_>>()
    };
    for section in ["receivers", "processors", "exporters"] {
        let used: BTreeSet<String> = values(&collector, section)
            .iter()
            .flat_map(|list| list.trim_matches(['[', ']']).split(", ").map(str::to_owned).collect::<Vec<_>>())
            .collect();
        assert_eq!(used, if section == "receivers" { BTreeSet::from(["otlp".to_owned()]) } else { defined(section) }, "{section}");
    }
    for host in ["clickhouse", "victoriametrics"] {
        assert!(collector.contains(&format!("//{host}:")) && compose.contains(&format!("\n  {host}:\n")), "{host}");
    }
    assert!(collector.contains("create_schema: false") && collector.contains("database: otel"));
}

#[test]
fn every_query_and_every_panel_is_one_that_clickhouse_understands() {
    let Some(clickhouse) = ClickHouse::start("queries") else { return };
    let mut seen = 0;
    for (name, query) in queries() {
        assert!(query.starts_with("-- "), "{name} does not say what it asks");
        let (columns, _) = clickhouse.ask(&query).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(columns.len() > 3, "{name}: {columns:?}");
        seen += 1;
    }
    for Asked { place, text, .. } in asked().iter().filter(|a| a.source == SQL) {
        clickhouse.ask(&expanded(text, "it", "hut")).unwrap_or_else(|e| panic!("{place}: {e}"));
        seen += 1;
    }
    assert!(seen > 35, "only {seen} queries");
    assert!(clickhouse.ask("SELECT Nothing FROM otel.drover_runs").is_err(), "a wrong one is refused");
    // The file is one that may be run again.
    for statement in servers::statements(&read("schema.sql")) {
        clickhouse.ask(&format!("EXPLAIN AST {statement}")).unwrap_or_else(|e| panic!("{statement}: {e}"));
        assert!(statement.contains(" IF NOT EXISTS ") || statement.starts_with("CREATE OR REPLACE VIEW "), "{statement}");
    }
}

/// The rows of a query that has to give some: what a collector received is there a little later.
fn rows(clickhouse: &ClickHouse, place: &str, query: &str) -> Vec<Value> {
    let mut found = Vec::new();
    until(&format!("{place} to give rows"), || {
        found = clickhouse.ask(query).unwrap_or_else(|e| panic!("{place}: {e}")).1;
        !found.is_empty()
    });
    found
}

#[test]
fn what_a_run_exports_through_a_real_collector_answers_every_query_and_fills_every_panel() {
    let test = "what_a_run_exports";
    let dir = tempfile::tempdir().unwrap();
    let Some(clickhouse) = ClickHouse::start(test) else { return };
    let Some(metrics) = VictoriaMetrics::start(test, dir.path()) else { return };
    let Some(one) = Rotel::start(test, dir.path(), &clickhouse, None) else { return };
    let Some(other) = Rotel::start(test, dir.path(), &clickhouse, Some(&metrics)) else { return };
    // The same twice: over gRPC with metrics for ClickHouse, over HTTP with metrics for VictoriaMetrics.
    for (protocol, port) in [("grpc", one.grpc), ("http/protobuf", other.http)] {
        let config = format!("[telemetry]\nenabled = true\nprotocol = \"{protocol}\"\nendpoint = \"http://127.0.0.1:{port}\"\n");
        let ran = eventful(&config).drover(&["apply"]).expect(1);
        assert!(!ran.err.contains("telemetry"), "{}", ran.err);
    }
    let runs = "SELECT Project FROM otel.drover_runs";
    until("both runs to arrive", || clickhouse.ask(runs).unwrap().1.len() == 2);
    for (name, query) in queries() {
        // Nothing went wrong that is not told in the attempts.
        if name != "warnings" {
            rows(&clickhouse, &name, &query);
        }
    }
    for Asked { place, text, .. } in asked().iter().filter(|a| a.source == SQL && !a.place.ends_with("Warnings and errors")) {
        rows(&clickhouse, place, &expanded(text, "it", "a"));
    }
    for Asked { place, text, .. } in asked().iter().filter(|a| a.source == METRICS) {
        let query = expanded(text, "it", "a");
        until(&format!("{place} to show a series: {query}"), || !metrics.ask(&query).is_empty());
    }
    let answer = |name: &str| {
        let query = queries().into_iter().find(|(of, _)| of == name).unwrap().1;
        rows(&clickhouse, name, &query)
    };
    // Two runs of three attempts each, of which the second at `a` completes it.
    for run in answer("runs") {
        let (attempts, completed, failures) = (&run["Attempts"], &run["Completed"], &run["Failures"]);
        assert_eq!((attempts, completed, failures, &run["Dollars"]), (&3.into(), &1.into(), &2.into(), &0.5.into()), "{run}");
    }
    let dear = answer("cost_by_agent");
    let of = |key: &str| &dear[0][key];
    assert_eq!((of("Agent"), of("Model"), of("AgentRuns"), of("Dollars")), (&"claude-code".into(), &"opus".into(), &4.into(), &1.into()));
    let classes: BTreeSet<_> = answer("failures_by_class").iter().map(|r| r["ErrorType"].as_str().unwrap().to_owned()).collect();
    assert_eq!(classes, BTreeSet::from(["task.agent".to_owned(), "task.verify".to_owned()]));
    assert_eq!(metrics.ask("sum(drover_agent_cost_total)")[0]["value"][1], "0.5");
}

#[test]
fn a_real_prometheus_finds_every_kind_of_series_while_a_run_lasts() {
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let Some(prometheus) = Prometheus::start("a_real_prometheus", dir.path(), port) else { return };
    // Two attributes become one label, and it does not take a label twice.
    let it = project(&format!("[telemetry]\nprometheus = \"{port}\"\n"), "").env("OTEL_RESOURCE_ATTRIBUTES", "a_b=2,a.b=1,1st=3");
    let waits = format!("while [ ! -e {} ]; do sleep 0.05; done; echo x >b.txt", it.outside("go").display());
    it.write("drover/t.toml", &(task("a", "echo x >a.txt", "") + &task("b", &waits, "depends_on = [\"a\"]")));
    it.git(&["commit", "-qam", "tasks"]);
    let child = it.spawn(&["apply"]);
    for (query, what) in [
        ("drover_tasks_completed_total == 1", "a counter"),
        ("drover_workers_active == 1", "a gauge"),
        ("drover_task_duration_seconds_count{drover_task_state='completed'} == 1", "a histogram"),
        ("drover_task_duration_seconds_bucket{drover_task_state='completed',le='+Inf'} == 1", "its buckets"),
        ("target_info{service_name='drover',drover_project_id='it',a_b='1',_1st='3'}", "what is told of"),
    ] {
        until(&format!("{what}: {query}"), || prometheus.ask(query).len() == 1);
    }
    fs::write(it.outside("go"), "").unwrap();
    let ran = ran(&child.wait_with_output().unwrap()).expect(0);
    assert!(!ran.err.contains("warning"), "{}", ran.err);
}
