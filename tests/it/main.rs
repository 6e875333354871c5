//! Everything that is promised to users, one file per promise.

mod alert;
mod captures;
mod cli;
mod config;
mod connectivity;
mod dashboard;
mod diagnose;
mod diagnose_follow_up;
mod diagnose_wire;
mod django;
mod endpoint;
mod follow_up;
mod hold;
mod http;
mod http_check;
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
mod trace;
