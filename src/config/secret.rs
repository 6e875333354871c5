//! A value that can't be printed.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

/// Largest file that is read as a secret: a wrong path may lead to anything.
const MAX_BYTES: u64 = 64 << 10;

/// A secret: no `Display`, no `Serialize`, a masked `Debug`, and wiped from memory when dropped.
#[derive(Clone)]
pub struct Secret {
    value: Arc<SecretString>,
    file: Option<PathBuf>,
}

impl Secret {
    /// A secret written in the configuration itself.
    pub fn inline(value: impl Into<String>) -> Self {
        Secret { value: Arc::new(SecretString::from(value.into())), file: None }
    }

    /// Reads a secret from the file of a `*_file` key. Whitespace around it is trimmed, as editors add a newline.
    ///
    /// # Errors
    /// The file can't be read, is not UTF-8, too large, or empty.
    pub fn read(path: &Path) -> std::io::Result<Self> {
        let mut text = String::new();
        std::fs::File::open(path)?.take(MAX_BYTES + 1).read_to_string(&mut text)?;
        if text.len() as u64 > MAX_BYTES {
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, "the file is too large for a secret"));
        }
        let value = text.trim();
        if value.is_empty() {
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, "the file is empty"));
        }
        Ok(Secret { value: Arc::new(SecretString::from(value.to_owned())), file: Some(path.to_owned()) })
    }

    /// The value. Call this only where it goes on the wire.
    pub fn expose(&self) -> &str {
        self.value.expose_secret()
    }

    /// The file it came from, if any.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(<masked>)")
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for Secret {}
