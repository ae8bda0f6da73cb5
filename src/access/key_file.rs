//! Key files: one key and its plan a line, as it is or as the SHA-256 digest of its lower case.
//!
//! ```text
//! # customer 17
//! k7dq3vm2x9rtb5wz    gold
//! sha256:9c56cc51b374c3ba189210d5b6d4bf57790d351c96c47c02190ecf1e430635ab    free
//! ```
//!
//! A line that is wrong is skipped and said, with its place and without its text: keys are in no log.

use std::collections::HashMap;
use std::io::{self, BufRead};
use std::path::PathBuf;
use std::sync::Arc;

use data_encoding::HEXLOWER_PERMISSIVE;

use super::account::AccountId;
use super::key_table::{KeyList, SHORTEST_KEY};
use super::plan::{Plan, PlanId};
use crate::zone_file::diagnostic::{Diagnostic, Diagnostics, Severity};

/// How a digest is told from a key.
pub const DIGEST_MARK: &str = "sha256:";
const LONGEST_KEY: usize = 63;
/// A longer line is wrong, in octets.
const LONGEST_LINE: u64 = 1024;

/// Reads a file for these plans; what is wrong goes to `diagnostics`.
///
/// # Errors
/// What the reader says.
pub fn read(
    mut text: impl BufRead,
    path: &Arc<PathBuf>,
    plans: &[Plan],
    diagnostics: &mut Diagnostics,
) -> io::Result<KeyList> {
    let mut list = KeyList::default();
    let mut lines_of: HashMap<AccountId, u32> = HashMap::new();
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        if read_line(&mut text, &mut line)? == 0 {
            break;
        }
        let mut note = |column: usize, severity, message: String| {
            let (path, column) = (path.clone(), column as u32 + 1);
            let place = || Diagnostic { path, line: number, column, severity, message, text: String::new() };
            diagnostics.push_with(severity, place);
        };
        match parse(&line, plans) {
            Ok(None) => {}
            Ok(Some((id, plan))) => match lines_of.get(&id) {
                Some(first) => {
                    let message = format!("the same key as in line {first}, which holds");
                    note(0, Severity::Warning, message);
                }
                None => {
                    lines_of.insert(id, number);
                    list.keys.push((id, plan));
                }
            },
            Err((column, message)) => note(column, Severity::Error, message),
        }
    }
    Ok(list)
}

/// Appends a line, or what fits of it; passes over the rest. Returns how many octets it has.
fn read_line(text: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<u64> {
    let kept = io::Read::take(&mut *text, LONGEST_LINE).read_until(b'\n', line)? as u64;
    let passed =
        if kept == LONGEST_LINE && line.last() != Some(&b'\n') { text.skip_until(b'\n')? } else { 0 };
    Ok(kept + passed as u64)
}

/// What a line says; nothing where it is empty or a comment. What is wrong comes with its column,
/// counted from 0.
fn parse(line: &[u8], plans: &[Plan]) -> Result<Option<(AccountId, PlanId)>, (usize, String)> {
    let mut words = words(line);
    let Some((key_at, key)) = words.next().filter(|(_, word)| !word.starts_with(b"#")) else {
        return Ok(None);
    };
    let id = id(key).map_err(|message| (key_at, message.to_owned()))?;
    let missing = || (key_at + key.len(), "the name of a plan is missing".to_owned());
    let (plan_at, name) = words.next().filter(|(_, word)| !word.starts_with(b"#")).ok_or_else(missing)?;
    let plan = plans.iter().position(|plan| plan.name.as_bytes() == name);
    // The word is not said: in a line turned round it is the key.
    let plan = plan.ok_or_else(|| (plan_at, "there is no plan of this name".to_owned()))?;
    match words.next() {
        Some((at, word)) if !word.starts_with(b"#") => Err((at, "a key and a plan, and no more".to_owned())),
        _ => Ok(Some((id, plan as PlanId))),
    }
}

fn id(key: &[u8]) -> Result<AccountId, &'static str> {
    if let Some(digits) = key.strip_prefix(DIGEST_MARK.as_bytes()) {
        let digest = HEXLOWER_PERMISSIVE.decode(digits).ok().and_then(|digest| digest.try_into().ok());
        return digest
            .map(|digest| AccountId::of_digest(&digest))
            .ok_or("a digest has 64 hexadecimal digits");
    }
    if !(SHORTEST_KEY..=LONGEST_KEY).contains(&key.len()) {
        return Err("a key has 8 to 63 characters");
    }
    match key.iter().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_')) {
        true => Ok(AccountId::of_key(key)),
        false => Err("a key has letters, digits, `-` and `_` only"),
    }
}

/// The words of a line, and where they begin.
fn words(line: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut at = 0;
    std::iter::from_fn(move || {
        at += line[at..].iter().take_while(|octet| octet.is_ascii_whitespace()).count();
        let start = at;
        at += line[at..].iter().take_while(|octet| !octet.is_ascii_whitespace()).count();
        (at > start).then(|| (start, &line[start..at]))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &[u8]) -> (KeyList, Vec<String>) {
        let mut diagnostics = Diagnostics::default();
        let plans = [Plan::new("free"), Plan::new("gold")];
        let list = read(text, &Arc::new("keys".into()), &plans, &mut diagnostics).unwrap();
        (list, diagnostics.kept().iter().map(|finding| finding.to_string()).collect())
    }

    #[test]
    fn keys_and_digests() {
        let text = "# all\n\nABCdefgh gold # the first\r\n\t01234567\tfree\n\
            sha256:9C56cc51b374c3ba189210d5b6d4bf57790d351c96c47c02190ecf1e430635ab free\nlast_key-8 gold";
        let (list, said) = parsed(text.as_bytes());
        let ids = [&b"abcdefgh"[..], b"01234567", b"last_key-8"].map(AccountId::of_key);
        assert_eq!(list.keys, [(ids[0], 1), (ids[1], 0), (ids[2], 1)]);
        assert_eq!(said, ["keys:5:1: warning: the same key as in line 3, which holds"]);
    }

    #[test]
    fn what_is_wrong_has_its_place_and_no_key() {
        let long = format!("{} free", "k".repeat(2000));
        for (line, place, message) in [
            ("secret7 free", 1, "a key has 8 to 63 characters"),
            ("  secret.12345 free", 3, "a key has letters"),
            ("secret12", 9, "the name of a plan is missing"),
            ("secret12  # free", 9, "the name of a plan is missing"),
            ("free12345 secret123", 11, "there is no plan of this name"),
            ("secret12 free secret34", 15, "a key and a plan, and no more"),
            ("sha256:00ff free", 1, "a digest has 64"),
            (&long, 1, "a key has 8 to 63"),
        ] {
            let (list, said) = parsed(format!("\n{line}\nabcdefgh gold\n").as_bytes());
            assert_eq!(list.keys.len(), 1, "{line}");
            assert!(said[0].starts_with(&format!("keys:2:{place}: error: {message}")), "{said:?}");
            assert!(!said[0].contains("secret"), "{said:?}");
        }
    }

    proptest! {
        #[test]
        fn anything_can_be_read(text in proptest::collection::vec(any::<u8>(), 0..4000)) {
            parsed(&text);
        }
    }
}
