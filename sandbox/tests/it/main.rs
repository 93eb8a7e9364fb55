//! The sandbox's servers, judged from outside.

mod conformance;
