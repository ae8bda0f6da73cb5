//! `acl`: client addresses, and what these clients are answered.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::lexer::{Fault, is_blank, is_end, token, trim_start, word};
use super::list::List;
use super::report::Report;
use super::{AccessAction, AccessRule, Content, ReadOptions};
use super::{entry_value, ip4, ip6};
use crate::value::Value;

/// A line of an acl: a rule, or the default of the rules below that say nothing.
pub(super) fn rule<'t>(
    list: &mut List,
    text: &'t [u8],
    options: &ReadOptions,
    report: &mut Report<'_>,
) -> Result<(), Fault<'t>> {
    if text.starts_with(b":") && !text.starts_with(b"::") {
        list.state.action = match keyword(text) {
            Some(action) => action,
            None => {
                list.default_line(text, options, report)?;
                let (address, text) = (list.state.address, list.state.text.as_deref());
                AccessAction::Always(Value { address, text: text.map(Box::from) })
            }
        };
        return Ok(());
    }
    let v6 = text.iter().find(|octet| !octet.is_ascii_hexdigit()) == Some(&b':');
    let (clients, value) = if v6 {
        let cut = ip6::split_key(text);
        let (first, length) = ip6::prefix(&cut, options)?;
        (IpNet::new(IpAddr::V6(Ipv6Addr::from(first)), length), cut.value)
    } else {
        let (key, value) = token(text, |octet| is_blank(octet) || matches!(octet, b':' | b'#' | b';'));
        let (first, length) = ip4::prefix(key, options)?;
        (IpNet::new(IpAddr::V4(Ipv4Addr::from(first)), length), value)
    };
    let clients = clients.map_err(|error| Fault::new(text, error.to_string()))?;
    let action = action(list, value, options, report)?;
    if !list.clients.insert(clients) {
        report.warn(text, "these clients have a rule already, which stays");
        return Ok(());
    }
    list.count(crate::prefix_table::State::MAX);
    if let Content::Access(rules) = &mut list.content {
        rules.push(AccessRule { clients, action });
    }
    Ok(())
}

fn action<'t>(
    list: &List,
    value: &'t [u8],
    options: &ReadOptions,
    report: &mut Report<'_>,
) -> Result<AccessAction, Fault<'t>> {
    if is_end(value) {
        return Ok(list.state.action.clone());
    }
    if let Some(action) = keyword(value) {
        return Ok(action);
    }
    // A keyword as default leaves the value of an entry nothing to take over.
    let written = entry_value::read(value)?;
    let text = match written.text {
        Some(text) => Some(entry_value::limited(text, options, report)),
        None if written.keeps_default_text => list.state.text.as_deref(),
        None => None,
    };
    let address = written.address.unwrap_or(list.state.address);
    Ok(AccessAction::Always(Value { address, text: text.map(Box::from) }))
}

/// `:word` or `=word`, in any letter case, with nothing but a comment behind it.
fn keyword(value: &[u8]) -> Option<AccessAction> {
    let [b':' | b'=', rest @ ..] = value else { return None };
    let (name, rest) = word(trim_start(rest));
    if !is_end(rest) {
        return None;
    }
    Some(match &name.to_ascii_lowercase()[..] {
        b"ignore" | b"blackhole" => AccessAction::Ignore,
        b"refuse" => AccessAction::Refuse,
        b"empty" => AccessAction::Empty,
        b"pass" => AccessAction::Pass,
        _ => return None,
    })
}
