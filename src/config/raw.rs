//! The configuration as written: the only user of serde_yaml.
