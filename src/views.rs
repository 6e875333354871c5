//! The shapes that leave the process: API, `--output json`, page, webhook data.
