//! Everything that is promised to users, one file per promise.

mod alert;
mod bounds;
mod cli;
mod config;
mod dashboard;
mod diagnose;
mod diagnose_wire;
mod django;
mod endpoint;
mod http;
mod notify;
mod outage;
mod probe;
mod prometheus;
mod reasons;
mod resolver;
mod schedule;
mod support;
mod systemd;
mod tidy;
mod wire;
