//! Everything that is promised to users, one file per promise.

mod alert;
mod cli;
mod config;
mod dashboard;
mod diagnose;
mod diagnose_follow_up;
mod diagnose_wire;
mod django;
mod endpoint;
mod follow_up;
mod http;
mod http_check;
mod notify;
mod outage;
mod probe;
mod prometheus;
mod schedule;
mod support;
mod systemd;
mod tidy;
mod trace;
