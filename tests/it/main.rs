//! Everything that is promised to users, one file per promise.

mod alert;
mod captures;
mod cli;
mod config;
mod connectivity;
mod dashboard;
mod diagnose;
mod diagnose_wire;
mod django;
mod endpoint;
mod http;
mod notify;
mod options;
mod outage;
mod probe;
mod prometheus;
mod proxy;
mod schedule;
mod support;
mod systemd;
mod tidy;
