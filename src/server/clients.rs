//! How many connections each client has: nobody takes all places.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many connections each client has.
#[derive(Debug)]
pub(super) struct Clients {
    counts: Mutex<HashMap<IpAddr, usize>>,
    /// The most of one client.
    limit: usize,
}

/// A connection that counts among its client's until dropped.
pub(super) struct Guest {
    clients: Arc<Clients>,
    client: IpAddr,
}

impl Clients {
    /// Nobody yet; each may have so many.
    pub(super) fn new(limit: usize) -> Self {
        Self { counts: Mutex::default(), limit }
    }

    /// Counts one more connection of a client, or `None` if it has too many already.
    pub(super) fn enter(clients: &Arc<Self>, client: IpAddr) -> Option<Guest> {
        let client = client_prefix(client);
        let mut counts = clients.lock();
        let count = counts.entry(client).or_default();
        if *count >= clients.limit {
            if *count == 0 {
                counts.remove(&client);
            }
            return None;
        }
        *count += 1;
        Some(Guest { clients: clients.clone(), client })
    }

    /// True where a client has a quarter of what it may have.
    pub(super) fn has_many(&self, client: IpAddr) -> bool {
        self.lock().get(&client_prefix(client)).is_some_and(|&count| count > self.limit / 4)
    }

    /// The map is whole after every statement, so a panic elsewhere leaves it usable.
    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut counts = self.clients.lock();
        if let Some(count) = counts.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.client);
            }
        }
    }
}

/// The prefix that stands for one client: an IPv4 address, a /56 of IPv6.
fn client_prefix(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !0 << 72).into(),
        v4 => v4,
    }
}
