//! Values of `nibbl.toml` that are checked while they are read, so that an error has its place.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};

use super::spec::{self, DatasetSpec};
use super::{address, duration};
use crate::dnssec::validity::Validity;
use crate::name::Name;
use crate::range_record::block;
use crate::zone_file::Kind;

/// Reads text and checks it within the visit, so that an error in a list has the place of its item.
pub(super) struct Text<F>(pub(super) &'static str, pub(super) F);

impl<T, E: fmt::Display, F: FnOnce(&str) -> Result<T, E>> Visitor<'_> for Text<F> {
    type Value = T;
    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.0)
    }
    fn visit_str<D: de::Error>(self, text: &str) -> Result<T, D> {
        (self.1)(text).map_err(D::custom)
    }
}

pub(super) struct Listen<const DEFAULT_PORT: u16>(pub(super) SocketAddr);

impl<'de, const DEFAULT_PORT: u16> Deserialize<'de> for Listen<DEFAULT_PORT> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let check = |text: &str| address::parse(text, DEFAULT_PORT).map(Self);
        deserializer.deserialize_str(Text("an address", check))
    }
}

pub(super) struct ZoneName(pub(super) Name);

impl<'de> Deserialize<'de> for ZoneName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text("a domain name", |text: &str| spec::zone_name(text).map(Self)))
    }
}

pub(super) struct Network(pub(super) IpNet);

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let check = |text: &str| {
            let host = || text.parse().map(|address: std::net::IpAddr| address.into());
            text.parse().or_else(|_| host()).map(Self).map_err(|_| "not an address or prefix")
        };
        deserializer.deserialize_str(Text("an address or prefix", check))
    }
}

#[derive(serde::Deserialize)]
#[serde(try_from = "u16")]
pub(super) struct UdpSize(pub(super) u16);

impl TryFrom<u16> for UdpSize {
    type Error = &'static str;
    fn try_from(size: u16) -> Result<Self, Self::Error> {
        if (512..=4096).contains(&size) { Ok(Self(size)) } else { Err("udp_size: 512 to 4096 octets") }
    }
}

#[derive(serde::Deserialize)]
#[serde(try_from = "u16")]
pub(super) struct BlockBytes(pub(super) u16);

impl TryFrom<u16> for BlockBytes {
    type Error = String;
    fn try_from(size: u16) -> Result<Self, Self::Error> {
        let (min, max) = (block::MIN_LIMIT, block::MAX_LIMIT);
        if (min..=max).contains(&size.into()) {
            Ok(Self(size))
        } else {
            Err(format!("block_bytes: {min} to {max} octets"))
        }
    }
}

#[derive(serde::Deserialize)]
#[serde(try_from = "u32")]
pub(super) struct Count(pub(super) u32);

impl TryFrom<u32> for Count {
    type Error = &'static str;
    fn try_from(count: u32) -> Result<Self, Self::Error> {
        if (1..=1_000_000).contains(&count) { Ok(Self(count)) } else { Err("a number from 1 to 1000000") }
    }
}

/// A validity of signatures.
#[derive(serde::Deserialize)]
#[serde(try_from = "Seconds")]
pub(super) struct SignatureValidity(pub(super) Validity);

impl TryFrom<Seconds> for SignatureValidity {
    type Error = &'static str;
    fn try_from(Seconds(seconds): Seconds) -> Result<Self, Self::Error> {
        Validity::new(seconds).map(Self).ok_or("signature_validity: 1d to 366d")
    }
}

/// What may wait in a socket.
#[derive(serde::Deserialize)]
#[serde(try_from = "Octets")]
pub(super) struct ReceiveBuffer(pub(super) usize);

impl TryFrom<Octets> for ReceiveBuffer {
    type Error = &'static str;
    fn try_from(Octets(octets): Octets) -> Result<Self, Self::Error> {
        let possible = (4 << 10)..=(512 << 20);
        if possible.contains(&octets) { Ok(Self(octets)) } else { Err("receive_buffer: 4K to 512M") }
    }
}

/// An amount of memory: `1048576` or `"64M"`.
pub(super) struct Octets(pub(super) usize);

impl<'de> Deserialize<'de> for Octets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Memory;
        impl Visitor<'_> for Memory {
            type Value = Octets;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("octets, or text like \"64M\" (K, M, G)")
            }
            fn visit_i64<E: de::Error>(self, octets: i64) -> Result<Octets, E> {
                self.visit_str(&octets.to_string())
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Octets, E> {
                let digits = text.trim_end_matches(['K', 'M', 'G']);
                let shift = match &text[digits.len()..] {
                    "" => 0,
                    "K" => 10,
                    "M" => 20,
                    "G" => 30,
                    _ => return Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                };
                let octets = digits
                    .parse::<u32>()
                    .ok()
                    .and_then(|octets| usize::try_from(octets).ok()?.checked_mul(1 << shift));
                octets.map(Octets).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_any(Memory)
    }
}

/// At least one file.
#[derive(serde::Deserialize)]
#[serde(try_from = "Vec<PathBuf>")]
pub(super) struct Files(pub(super) DatasetSpec);

impl TryFrom<Vec<PathBuf>> for Files {
    type Error = spec::SpecFault;
    fn try_from(files: Vec<PathBuf>) -> Result<Self, Self::Error> {
        DatasetSpec::new(spec::kind_name(Kind::Acl), files).map(Self)
    }
}

impl Files {
    pub(super) fn dataset(self) -> DatasetSpec {
        self.0
    }
}

/// A time: `90` or `"90s"`, `"35m"`, `"2h"`.
pub(super) struct Seconds(pub(super) u32);

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Time;
        impl Visitor<'_> for Time {
            type Value = Seconds;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("seconds, or text like \"35m\"")
            }
            fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<Seconds, E> {
                self.visit_str(&seconds.to_string())
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Seconds, E> {
                duration::seconds(text).map(Seconds).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Time)
    }
}

/// Text, or `false` for none.
pub(super) struct TextOrFalse(pub(super) Option<String>);

impl<'de> Deserialize<'de> for TextOrFalse {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Optional;
        impl Visitor<'_> for Optional {
            type Value = TextOrFalse;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("text of 1 to 255 octets, or false")
            }
            fn visit_bool<E: de::Error>(self, value: bool) -> Result<TextOrFalse, E> {
                if value {
                    Err(E::invalid_value(de::Unexpected::Bool(true), &self))
                } else {
                    Ok(TextOrFalse(None))
                }
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<TextOrFalse, E> {
                if (1..=255).contains(&text.len()) {
                    Ok(TextOrFalse(Some(text.to_owned())))
                } else {
                    Err(E::invalid_length(text.len(), &self))
                }
            }
        }
        deserializer.deserialize_any(Optional)
    }
}

/// `"TYPE:FILE,FILE"` or `{ type = "TYPE", files = ["FILE", "FILE"] }`.
pub(super) struct DatasetValue(pub(super) DatasetSpec);

impl<'de> Deserialize<'de> for DatasetValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            #[serde(rename = "type")]
            kind: String,
            files: Vec<PathBuf>,
        }
        struct Dataset;
        impl<'de> Visitor<'de> for Dataset {
            type Value = DatasetValue;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("\"TYPE:FILE,FILE\" or { type = \"TYPE\", files = [\"FILE\", \"FILE\"] }")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<DatasetValue, E> {
                match spec::dataset_spec(text) {
                    Err(spec::SpecFault::NoType) => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                    dataset => dataset.map(DatasetValue).map_err(E::custom),
                }
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<DatasetValue, A::Error> {
                let table = Table::deserialize(de::value::MapAccessDeserializer::new(map))?;
                DatasetSpec::new(&table.kind, table.files).map(DatasetValue).map_err(de::Error::custom)
            }
        }
        deserializer.deserialize_any(Dataset)
    }
}
