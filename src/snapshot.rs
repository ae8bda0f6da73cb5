//! All zones at one moment, published as one value: a query loads the current snapshot once and
//! answers from it to the end, whatever is reloaded meanwhile. (Interface fixed; in work by the lead.)

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::zone::{View, Zone};

/// All zones and what the server says of itself.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// What the server says besides its zones.
    pub settings: Settings,
}

/// How answers are made, zones apart.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The letter of rbldnsd: ANY in full over UDP.
    pub dropin: bool,
    /// NS and glue are left out of positive answers (rbldnsd's `-a`).
    pub minimal: bool,
    /// The largest UDP response in octets, 512 to 4096; 1232 by default.
    pub udp_size: u16,
    /// TXT of version.bind and version.server in class CH; `None` refuses.
    pub version: Option<String>,
    /// TXT of id.server and hostname.bind in class CH; `None` refuses.
    pub identity: Option<String>,
    /// Who may send NOTIFY.
    pub notify_from: Vec<IpNet>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            dropin: false,
            minimal: true,
            udp_size: 1232,
            version: Some(format!("nibbl {}", env!("CARGO_PKG_VERSION"))),
            identity: None,
            notify_from: Vec::new(),
        }
    }
}

/// A zone found for a name.
#[derive(Clone, Copy, Debug)]
pub struct ZoneMatch<'s> {
    /// The zone.
    pub zone: &'s Arc<Zone>,
    /// Its place in [`Snapshot::zones`]: what counters are kept by.
    pub index: usize,
    /// How many labels the apex has.
    pub apex_labels: usize,
}

impl Snapshot {
    /// All zones, in the order of the configuration.
    pub fn zones(&self) -> &[Arc<Zone>] {
        todo!()
    }

    /// The zone whose apex is the longest suffix of a name: `wire` is the name in wire form and in
    /// lower case, `offsets` says where each of its labels begins, left to right (without the root).
    pub fn zone_of(&self, wire: &[u8], offsets: &[u8]) -> Option<ZoneMatch<'_>> {
        let _ = (wire, offsets);
        todo!()
    }

    /// What a client sees of a zone: the server's and the zone's access lists together.
    pub fn view<'s>(&'s self, zone: &'s Zone, client: IpAddr) -> View<'s> {
        let _ = (zone, client);
        todo!()
    }

    /// What a client sees of questions that concern no zone (class CH): only a global "ignore" counts.
    pub fn ignores(&self, client: IpAddr) -> bool {
        let _ = client;
        todo!()
    }
}
