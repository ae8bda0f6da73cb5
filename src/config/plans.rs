//! Plans and who has them: `[[plan]]`, `[[client]]`, `[access_keys]` and `[usage]`.

use std::net::Ipv4Addr;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use serde::de::{self, Deserialize, Deserializer, Visitor};
use toml::Spanned;

use super::file::Misplaced;
use super::values::{Count, Network, Text, ZoneName};
use super::{PlansConfig, ZoneConfig};
use crate::access::bucket::Rate;
use crate::access::plan::LONGEST_TEXT;
use crate::access::{Beyond, Plan, PlanId, Rule};
use crate::name::Name;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PlanTable {
    name: Spanned<String>,
    zones: Option<Vec<Spanned<ZoneName>>>,
    rate: Option<Count>,
    burst: Option<Count>,
    daily: Option<NonZeroU64>,
    monthly: Option<NonZeroU64>,
    #[serde(default)]
    beyond: BeyondValue,
    text: Option<ShortText>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClientTable {
    prefixes: Vec<Network>,
    plan: Spanned<String>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AccessKeysTable {
    zones: Vec<Spanned<ZoneName>>,
    file: PathBuf,
    text: Option<ShortText>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UsageTable {
    directory: PathBuf,
}

/// `"refuse"`, `"not-listed"`, or the address of a listing.
#[derive(Clone, Copy, Default)]
enum BeyondValue {
    #[default]
    Refuse,
    NotListed,
    Listed(Ipv4Addr),
}

impl<'de> Deserialize<'de> for BeyondValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const EXPECTED: &str = "\"refuse\", \"not-listed\" or an address in 127.0.0.0/8";
        deserializer.deserialize_str(Text(EXPECTED, |text: &str| match text {
            "refuse" => Ok(Self::Refuse),
            "not-listed" => Ok(Self::NotListed),
            _ => match text.parse::<Ipv4Addr>() {
                Ok(address) if address.is_loopback() => Ok(Self::Listed(address)),
                _ => Err(format!("not {EXPECTED}")),
            },
        }))
    }
}

/// What fits into a refusal.
struct ShortText(String);

impl<'de> Deserialize<'de> for ShortText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Short;
        impl Visitor<'_> for Short {
            type Value = ShortText;
            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                write!(f, "text of 1 to {LONGEST_TEXT} octets")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<ShortText, E> {
                match (1..=LONGEST_TEXT).contains(&text.len()) {
                    true => Ok(ShortText(text.to_owned())),
                    false => Err(E::invalid_length(text.len(), &self)),
                }
            }
        }
        deserializer.deserialize_str(Short)
    }
}

/// The tables of a file.
pub(super) struct Tables {
    pub(super) plans: Vec<PlanTable>,
    pub(super) clients: Vec<ClientTable>,
    pub(super) access_keys: Option<AccessKeysTable>,
    pub(super) usage: Option<UsageTable>,
}

impl Tables {
    /// Checks the tables of a file in `own_dir` that has these zones.
    pub(super) fn check(self, own_dir: &Path, zones: &[ZoneConfig]) -> Result<PlansConfig, Misplaced> {
        let known = |name: Spanned<ZoneName>| {
            let at = name.span().start;
            let name = name.into_inner().0;
            let is_known = zones.iter().any(|zone| zone.name == name);
            if is_known { Ok(name) } else { Err((at, format!("there is no zone `{name}`"))) }
        };
        let mut plans: Vec<Plan> = Vec::new();
        for table in self.plans {
            let at = table.name.span().start;
            let zones = table.zones.map(|zones| zones.into_iter().map(known).collect()).transpose()?;
            let plan = Plan { zones, ..Plan::new(table.name.into_inner()) };
            let is_word = |name: &str| !name.is_empty() && name.bytes().all(|octet| octet.is_ascii_graphic());
            if !is_word(&plan.name) || plan.name.starts_with('#') {
                return Err((at, "the name of a plan is a word, as key files have it".into()));
            }
            if plans.iter().any(|other| other.name == plan.name) {
                return Err((at, format!("a second plan `{}`", plan.name)));
            }
            if plans.len() > PlanId::MAX.into() {
                return Err((at, "more than 256 plans".into()));
            }
            if table.burst.is_some() && table.rate.is_none() {
                return Err((at, format!("plan `{}`: `burst` without `rate`", plan.name)));
            }
            let text = table.text.map(|text| text.0);
            let rate = |rate: Count| Rate::new(rate.0, table.burst.as_ref().unwrap_or(&rate).0);
            plans.push(Plan {
                rate: table.rate.map(rate),
                daily: table.daily.map(NonZeroU64::get),
                monthly: table.monthly.map(NonZeroU64::get),
                beyond: match table.beyond {
                    BeyondValue::Refuse => Beyond::Refuse,
                    BeyondValue::NotListed => Beyond::NotListed,
                    BeyondValue::Listed(address) => Beyond::listed(address, text.as_deref()),
                },
                text,
                ..plan
            });
        }
        let mut rules = Vec::new();
        for table in self.clients {
            let name = table.plan.as_ref();
            let plan = plans.iter().position(|plan| plan.name == *name);
            let plan = plan.ok_or_else(|| (table.plan.span().start, format!("there is no plan `{name}`")))?;
            let rule = |prefix: Network| Rule { clients: prefix.0, plan: plan as PlanId };
            rules.extend(table.prefixes.into_iter().map(rule));
        }
        let (mut keyed, mut key_file, mut unknown_text) = (Vec::new(), None, None);
        if let Some(table) = self.access_keys {
            keyed = table.zones.into_iter().map(known).collect::<Result<_, _>>()?;
            key_file = Some(own_dir.join(table.file));
            unknown_text = table.text.map(|text| text.0);
        }
        let usage = self.usage.map(|usage| own_dir.join(usage.directory));
        Ok(PlansConfig { plans, rules, keyed, key_file, unknown_text, usage })
    }
}

/// A sentence for each plan that `[[client]]` gives to addresses and that only has zones with access keys: there
/// the key decides, and these rules never apply.
pub fn plans_without_effect(plans: &PlansConfig, zones: &[ZoneConfig]) -> impl Iterator<Item = String> {
    let is_for_clients = |index: usize| plans.rules.iter().any(|rule| usize::from(rule.plan) == index);
    let is_idle = move |plan: &Plan| {
        let mut covered = zones.iter().filter(|zone| plan.covers(&zone.name)).peekable();
        covered.peek().is_some() && covered.all(|zone| plans.keyed.contains(&zone.name))
    };
    let for_clients = plans.plans.iter().enumerate().filter(move |(index, _)| is_for_clients(*index));
    for_clients.filter(move |(_, plan)| is_idle(plan)).map(|(_, Plan { name, .. })| {
        format!(
            "the plan `{name}` of a [[client]] has only zones with access keys: there the key decides, so that it \
             never applies to these clients, whom all other zones refuse"
        )
    })
}

/// Rules that a zone cannot have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("zone `{zone}` {has}, and {why}: {what} are for all")]
pub struct Contradiction {
    /// The place of the zone, among all.
    pub index: usize,
    zone: Name,
    has: String,
    why: String,
    what: &'static str,
}

/// Looks for zones that are the same for all (signed, or with range records) and not the same for all.
///
/// # Errors
/// The first of them.
pub fn check_zones(plans: &PlansConfig, zones: &[ZoneConfig]) -> Result<(), Contradiction> {
    for (index, zone) in zones.iter().enumerate() {
        let (has, what) = match (&zone.signing, zone.ranges) {
            (Some(_), _) => ("is signed", "signatures"),
            (None, true) => ("has range records", "they"),
            (None, false) => continue,
        };
        let changing = |rule: &&Rule| {
            let plan = plans.plans.get(usize::from(rule.plan));
            plan.is_some_and(|plan| plan.changes_answers() && plan.covers(&zone.name))
        };
        let why = if plans.keyed.contains(&zone.name) {
            "its names have access keys".to_owned()
        } else if let Some(rule) = plans.rules.iter().find(changing) {
            let plan = &plans.plans[usize::from(rule.plan)].name;
            format!("the plan `{plan}` of some clients changes answers other than by refusing them")
        } else {
            continue;
        };
        return Err(Contradiction { index, zone: zone.name.clone(), has: has.into(), why, what });
    }
    Ok(())
}
