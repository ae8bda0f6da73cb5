//! `--help` of a benchmark: how it is called, as its own documentation says it.

/// Prints the `text` block of the documentation that a source begins with, if `--help` is among the arguments;
/// true if it is.
pub(crate) fn is_asked(source: &str) -> bool {
    let asked = std::env::args().any(|argument| matches!(argument.as_str(), "--help" | "-h"));
    if asked {
        let lines = source.lines().map_while(|line| line.strip_prefix("//!"));
        let lines = lines.map(|line| line.strip_prefix(' ').unwrap_or(line));
        let block = lines.skip_while(|line| *line != "```text").skip(1).take_while(|line| *line != "```");
        block.for_each(|line| println!("{line}"));
    }
    asked
}
