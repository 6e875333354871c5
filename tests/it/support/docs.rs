//! What a page of docs/ tells its readers to run: its fenced blocks.

/// A fenced block.
pub struct Block {
    /// The word behind the fence: `sh`, `yaml`.
    pub language: String,
    pub text: String,
}

/// The fenced blocks of a page, in their order.
pub fn blocks(page: &str) -> Vec<Block> {
    let text = std::fs::read_to_string(page).unwrap_or_else(|error| panic!("{page}: {error}"));
    let (mut blocks, mut open): (Vec<Block>, Option<Block>) = (vec![], None);
    let mut indent = 0;
    for line in text.lines() {
        // in a numbered list a fence is indented
        match (line.trim_start().strip_prefix("```"), &mut open) {
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(language), None) => {
                indent = line.len() - line.trim_start().len();
                open = Some(Block { language: language.to_owned(), text: String::new() });
            }
            (None, Some(block)) => {
                block.text += line.get(indent..).unwrap_or_default();
                block.text.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "{page}: a fence is not closed");
    blocks
}
