//! Traces that go to a real collector, or to none.

use std::time::{Duration, SystemTime};

use daemon::telemetry::{Format, Settings, init};
use daemon::{run_span, trace};
use sandbox::{Collector, Effect, Fault};
use tracing::{Instrument, info_span};

use crate::child::{Child, is_child};

/// As a run's id is: a UUID.
#[derive(Clone, Copy)]
struct Run(u128);

const RUN: Run = Run(0x0195_0000_0000_7000_8000_0000_0000_002a);
const RUN_TRACE: &str = "0195000000007000800000000000002a";
const RUN_ROOT: &str = "800000000000002a";

impl Run {
    fn as_u128(self) -> u128 {
        self.0
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A caller asks for a run; the run is worked for and closed.
fn work() {
    let telemetry = init(&Settings { format: Format::Json, filter: "info", service: "test" }, std::io::stderr);
    let asked = info_span!(target: "daemon", "request");
    trace::follow(&asked, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    asked.in_scope(|| {
        let submit = info_span!(target: "daemon", "submit", run.id = %RUN);
        trace::begin(&submit, RUN.as_u128());
    });
    drop(asked);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let attempt = info_span!(target: "daemon", "attempt", run.id = %RUN, outcome = tracing::field::Empty);
        trace::join(&attempt, RUN.as_u128());
        async {
            let _stage = tracing::debug_span!(target: "registry", "request").entered();
            drop(info_span!(target: "hyper", "of a library"));
        }
        .instrument(attempt.clone())
        .await;
        attempt.record("outcome", "failed");
        trace::failed(&attempt, "it was refused");
    });
    let began = SystemTime::UNIX_EPOCH + Duration::from_secs(5);
    trace::end(RUN.as_u128(), "nightly", "finished", began, began + Duration::from_secs(60));
    drop(telemetry);
}

#[tokio::test]
async fn a_run_is_one_trace_with_its_own_id_and_whoever_asked_for_it_is_linked_both_ways() {
    if is_child() {
        return std::thread::spawn(work).join().unwrap();
    }
    let collector = Collector::start().await.unwrap();
    let endpoint = collector.endpoint();
    // A proxy is none of our affair on the way to this machine.
    let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("HTTP_PROXY", "http://127.0.0.1:9")];
    let test = "telemetry::a_run_is_one_trace_with_its_own_id_and_whoever_asked_for_it_is_linked_both_ways";
    let said = Child::of(test, &variables).ended().await;
    assert!(!said.contains("traces are lost"), "{said}");

    let spans = collector.spans();
    let names: Vec<_> = spans.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, ["submit", "request", "request", "attempt", "run"]);
    let [submit, asked, request, attempt, run] = &spans[..] else { panic!("{spans:?}") };
    for span in [submit, request, attempt, run] {
        assert_eq!((span.trace.as_str(), span.service.as_str()), (RUN_TRACE, "test"), "{span:?}");
    }
    assert_eq!([&submit.parent, &attempt.parent, &run.id], [RUN_ROOT; 3]);
    assert_eq!((run.parent.as_str(), request.parent.as_str()), ("", attempt.id.as_str()));
    assert_eq!((run.attributes["job"].as_str(), run.attributes["outcome"].as_str()), ("nightly", "finished"));
    assert_eq!(run.time, (5_000_000_000, 65_000_000_000));
    assert!(attempt.failed && !submit.failed);

    assert_eq!([&asked.trace, &asked.parent], ["4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"]);
    assert_eq!(asked.links, [(RUN_TRACE.to_owned(), RUN_ROOT.to_owned())]);
    assert_eq!(submit.links, [(asked.trace.clone(), asked.id.clone())]);
}

#[tokio::test]
async fn a_collector_that_is_not_there_is_told_once_and_nothing_is_waited_for() {
    if is_child() {
        return std::thread::spawn(work).join().unwrap();
    }
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://me:hush@127.0.0.1:9?key=hush"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1"),
    ];
    let test = "telemetry::a_collector_that_is_not_there_is_told_once_and_nothing_is_waited_for";
    let said = Child::of(test, &variables).ended().await;
    assert_eq!(said.matches("traces are lost until `http://127.0.0.1:9` takes them: ").count(), 1, "{said}");
    assert!(!said.contains("hush"), "{said}");
}

#[tokio::test]
async fn a_collector_that_does_not_answer_holds_up_the_end_for_a_moment_only() {
    if is_child() {
        return std::thread::spawn(work).join().unwrap();
    }
    let collector = Collector::start().await.unwrap();
    collector.fault(Fault::on("POST", "/v1/traces", Effect::Latency(Duration::from_secs(600))));
    let variables =
        [("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint()), ("OTEL_EXPORTER_OTLP_TIMEOUT", "500000".to_owned())];
    let variables = variables.each_ref().map(|(name, value)| (*name, value.as_str()));
    let test = "telemetry::a_collector_that_does_not_answer_holds_up_the_end_for_a_moment_only";
    let said = Child::of(test, &variables).ended().await;
    assert_eq!(said.matches("the last spans of the traces are lost").count(), 1, "{said}");
}

#[tokio::test]
async fn settings_that_are_wrong_are_told_and_nothing_fails() {
    if is_child() {
        return std::thread::spawn(work).join().unwrap();
    }
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("IMAGE_FACTORY_LOG", "info,=,"),
    ];
    let said = Child::of("telemetry::settings_that_are_wrong_are_told_and_nothing_fails", &variables).ended().await;
    assert!(said.contains("traces are not exported: `OTEL_EXPORTER_OTLP_PROTOCOL` must be `http/protobuf`"), "{said}");
    assert!(said.contains("`IMAGE_FACTORY_LOG` cannot be read, so `info` is logged"), "{said}");
}

#[tokio::test]
async fn a_log_line_is_one_json_object_with_the_run_around_it() {
    if is_child() {
        return std::thread::spawn(|| {
            let _telemetry = init(&Settings { format: Format::Json, filter: "info", service: "test" }, std::io::stderr);
            let span = run_span!("attempt", RUN, stage = "push");
            span.in_scope(|| tracing::info!(duration_ms = 5, "pushed"));
        })
        .join()
        .unwrap();
    }
    let said = Child::of("telemetry::a_log_line_is_one_json_object_with_the_run_around_it", &[]).ended().await;
    let line = said.lines().find(|line| line.contains("pushed")).unwrap();
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(line["fields"]["duration_ms"], 5);
    assert_eq!((&line["span"]["run.id"], &line["span"]["stage"]), (&RUN_TRACE.into(), &"push".into()));
}
