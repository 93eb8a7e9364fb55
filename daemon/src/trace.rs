//! One trace for each run, whose names follow from the run's own name.
//!
//! A run outlives processes, and its tasks go to others; so what belongs together is found neither in memory nor on the
//! wire. A run's id is a UUID, which has as many bits as the id of a trace: it *is* that id, and its last eight bytes
//! are the id of the span over all others. Whoever works for a run knows both, since every task and every result names
//! its run. So no message and no row carries a trace context, an attempt that is sent again is in the same trace, and a
//! trace is found by what people know: the run.
//!
//! The span over all others is written by whoever closes the run ([`end`]), with the times on record: until then a trace
//! has no root, and whoever crashes loses nothing of it. What asked for the run has a trace of its own: the two name each
//! other ([`begin`]).

use std::cell::Cell;
use std::collections::HashMap;
use std::time::SystemTime;

use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{
    Span as _, SpanBuilder, SpanContext, SpanId, Status, TraceContextExt, TraceFlags, TraceId, TraceState, Tracer,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// A span of a run's trace: `run_span!("expand", run)`, with more fields if there are any. The run is anything with
/// `as_u128`.
#[macro_export]
macro_rules! run_span {
    ($name:literal, $run:expr $(, $($field:tt)*)?) => {{
        let span = tracing::info_span!($name, run.id = %$run, $($($field)*)?);
        $crate::trace::join(&span, $run.as_u128());
        span
    }};
}

/// Makes a new span, that was not entered yet, part of a run's trace.
pub fn join(span: &Span, run: u128) {
    if !span.is_disabled() {
        // It fails where nothing is exported, and then there is nothing to join.
        let _ = span.set_parent(Context::new().with_remote_span_context(root(run)));
    }
}

/// The same for the first span of a run. It and the span in which the run is asked for name each other.
pub fn begin(span: &Span, run: u128) {
    let asking = Span::current();
    join(span, run);
    span.add_link(asking.context().span().span_context().clone());
    asking.add_link(root(run));
}

/// Makes a new span part of the trace that a caller names in the header `traceparent` (W3C Trace Context). What cannot be
/// read is no trace: the span begins one of its own.
pub fn follow(span: &Span, traceparent: &str) {
    let headers = HashMap::from([("traceparent".to_owned(), traceparent.to_owned())]);
    let _ = span.set_parent(TraceContextPropagator::new().extract_with_context(&Context::new(), &headers));
}

/// Notes in a span that what it stands for failed.
pub fn failed(span: &Span, why: impl Into<String>) {
    span.set_status(Status::error(why.into()));
}

/// Writes the span over all others of a run.
pub fn end(run: u128, job: &str, outcome: &str, began: SystemTime, ended: SystemTime) {
    let attribute = |key, value: &str| KeyValue::new(key, value.to_owned());
    let mut builder = SpanBuilder::from_name("run").with_start_time(began);
    builder.attributes = Some(vec![attribute("job", job), attribute("outcome", outcome)]);
    NEXT.set(Some(run));
    let mut span = opentelemetry::global::tracer("image-factory").build_with_context(builder, &Context::new());
    NEXT.set(None);
    span.end_with_timestamp(ended);
}

fn root(run: u128) -> SpanContext {
    let (trace, span) = ids(run);
    SpanContext::new(trace, span, TraceFlags::SAMPLED, true, TraceState::NONE)
}

/// Neither is zero, which would be invalid: some bits of a UUID say of what kind it is.
fn ids(run: u128) -> (TraceId, SpanId) {
    (TraceId::from(run), SpanId::from(run as u64))
}

thread_local! {
    /// The run whose span is made next on this thread.
    static NEXT: Cell<Option<u128>> = const { Cell::new(None) };
}

/// Gives spans their ids: by chance, but for those over a run.
#[derive(Debug, Default)]
pub(crate) struct RunIds(RandomIdGenerator);

impl IdGenerator for RunIds {
    fn new_trace_id(&self) -> TraceId {
        NEXT.get().map_or_else(|| self.0.new_trace_id(), |run| ids(run).0)
    }

    fn new_span_id(&self) -> SpanId {
        NEXT.get().map_or_else(|| self.0.new_span_id(), |run| ids(run).1)
    }
}
