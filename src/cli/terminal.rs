//! What a terminal can show.

use std::io::IsTerminal;

/// The columns of stdout; `None` when it is no terminal, or one that does not know.
pub fn width() -> Option<usize> {
    width_of(std::io::stdout())
}

/// The same of another stream.
pub fn width_of(out: impl IsTerminal + std::os::fd::AsFd) -> Option<usize> {
    let columns = out.is_terminal().then(|| rustix::termios::tcgetwinsize(out).ok()).flatten()?.ws_col;
    (columns > 0).then_some(columns.into())
}

/// Whether it shows more than ASCII. A locale that says otherwise is believed; without any, today's terminals do.
pub fn unicode() -> bool {
    let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set);
    locale.is_none_or(|locale| locale.to_ascii_lowercase().replace('-', "").contains("utf8"))
}
